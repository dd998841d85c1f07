//! everylayer: every layer of any BERT, on any GPU.
//!
//! An encoder turns a text of n tokens into L + 1 hidden states of (n, width): state 0 goes into
//! block 1, state i comes out of block i. Other libraries hand out the last one; this crate gives
//! back every state, combined and pooled as you wish, computed by handwritten WGSL kernels on any
//! adapter that `wgpu` reaches, or on the CPU.
//!
//! # A first vector
//!
#![cfg_attr(feature = "bundled", doc = "```")]
#![cfg_attr(not(feature = "bundled"), doc = "```no_run")]
//! use everylayer::{Capture, Encoder, Layers, LoadOptions, Pool};
//!
//! let encoder = Encoder::open_blocking("bundled", &LoadOptions::default())?;
//!
//! // What the checkpoint was trained for: mean of the last state, normalised.
//! let one = encoder.embed_blocking(["Hello, world!"], &Capture::default())?;
//! assert_eq!(one.vector(0, 0, 0).map(<[f32]>::len), Some(384));
//!
//! // The mean of the last four layers, for every token.
//! let capture = Capture::default().layers(Layers::last(4)).combine("mean").pool(Pool::Tokens);
//! let tokens = encoder.embed_blocking(["Hello, world!"], &capture)?;
//! assert_eq!(tokens.texts[0].tokens[1].text, "hello");
//! # Ok::<(), everylayer::Error>(())
//! ```
//!
//! # Where things are
//!
//! * [`Encoder`] loads a model ([`Encoder::open`]) and embeds texts ([`Encoder::embed`]); methods
//!   ending in `_blocking` are for code without an async runtime.
//! * [`Capture`] says what to bring back: [`Layers`], [`Combine`], [`Pool`], normalisation,
//!   dimensions, [`Precision`].
//! * [`Embeddings`] holds the numbers and what each row stands for; [`output`] writes them as JSON,
//!   NumPy or safetensors.
//! * [`model`] reads checkpoints and describes an encoder as data; [`schedule`] writes its forward
//!   pass down as a [`Recording`]; `gpu` and [`cpu`] run that.
//!
//! # What holds
//!
//! A text's vectors are the same bits alone and in any batch, on one device with one
//! configuration. Nothing is padded. What a checkpoint asks for and this version does not compute
//! is an [`Error`] that names it.
//!
//! # Features
//!
//! Those marked with a star are on by default. Without any of them the crate loads checkpoints from
//! folders, runs on the CPU and writes every format but Parquet.
//!
//! | feature | brings |
//! |---|---|
//! | `gpu` * | GPUs, through wgpu |
//! | `hub` * | models by their name on the Hugging Face hub, and its cache |
//! | `bundled` * | all-MiniLM-L6-v2 in the binary, as `bundled` |
//! | `cli` * | the program `everylayer`; with it `parquet` |
//! | `server` * | `server`: OpenAI, Text Embeddings Inference, BERT-as-Service, `/v1/layers`; with it `parquet` |
//! | `parquet` * | Parquet files, by `cli` and `server` |
//! | `ndarray` | [`Embeddings`] as arrays of the crate `ndarray`: `Embeddings::view`, `Embeddings::to_array` |
//! | `otel` | spans of the server by OTLP over HTTP; with it `server` |
//! | `testing` | recordings of one dispatch, for tests and `doctor`: no part of the stable surface |
//! | `web` | what a page calls, on wasm32 alone: `web/build` makes the package of it |

// That the server's futures can move between threads is proved down to naga's types, through wgpu.
#![recursion_limit = "256"]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![deny(unsafe_code)]
#![warn(missing_docs)]

// The command line sees what any caller of the library sees, and names it so.
#[cfg(feature = "cli")]
extern crate self as everylayer;

#[doc(hidden)]
pub mod cache_dir;
pub mod capture;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod cli;
pub mod cpu;
pub mod embeddings;
pub mod encoder;
pub mod error;
pub mod execute;
#[cfg(test)]
mod fuzz;
#[cfg(feature = "gpu")]
pub mod gpu;
pub mod kernels;
pub mod math;
pub mod model;
pub mod output;
mod platform;
#[doc(hidden)]
pub mod quote;
pub mod schedule;
#[cfg(feature = "server")]
pub mod server;
#[cfg(any(test, feature = "testing", feature = "gpu"))]
#[doc(hidden)]
pub mod testing;
pub mod text;
#[cfg(all(feature = "web", target_arch = "wasm32"))]
pub mod web;
mod words;

pub use capture::{
    Capture, Combine, Heads, Layers, Maps, Overflow, Pool, Precision, Reduce, Route, Site, WordPool,
};
pub use embeddings::{Attention, Embeddings, TextAttention, TextEmbedding};
pub use encoder::{Device, Dtype, Encoder, LoadOptions, Verified, Verify};
pub use error::{Error, ErrorKind, Result, Setting};
pub use schedule::Recording;
pub use text::Text;

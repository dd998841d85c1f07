//! burn over the bundled model, for `../burn_peer.py`: answers batches of token ids on standard input with
//! mean-pooled vectors on standard output. Its clock is the caller's.
//!
//!     burn-peer MODEL_DIR gpu|software|cpu
//!
//! First a line of JSON, when the weights are on the device: who this is. Then, until the input ends, all
//! numbers little-endian and of 32 bits, a batch: form, texts, tokens, the lengths of the texts, the ids
//! (texts, tokens), padded at the end; and its answer: vectors (texts, width) as f32.

mod model;

use std::io::{self, ErrorKind, Read, Write};
use std::path::PathBuf;

use burn::tensor::{Device, DeviceKind};

use model::{Batch, Form, Model};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut words = std::env::args().skip(1);
    let folder = PathBuf::from(words.next().ok_or("usage: burn-peer MODEL_DIR gpu|software|cpu")?);
    let device = match words.next().as_deref() {
        Some("gpu") => Device::wgpu(DeviceKind::DefaultDevice),
        Some("software") => Device::wgpu(DeviceKind::Cpu),
        Some("cpu") => Device::flex(),
        other => return Err(format!("no device is called {other:?}: gpu, software or cpu").into()),
    };
    let model = Model::load(&folder, &device)?;
    device.sync()?;
    let name = device.identity().map_or("CPU (flex)".to_owned(), |it| it.name);
    let compiler = if cfg!(feature = "spirv") { "SPIR-V" } else { "WGSL" };
    let mut out = io::stdout().lock();
    writeln!(
        out,
        r#"{{"peer": "burn {}", "device": {name:?}, "compiler": "{compiler}"}}"#,
        env!("BURN_VERSION")
    )?;
    out.flush()?;

    let mut input = io::stdin().lock();
    while let Some([form, texts, tokens]) = head(&mut input)? {
        let lengths = numbers(&mut input, texts as usize)?;
        let ids = numbers(&mut input, texts as usize * tokens as usize)?;
        let form = if form == 0 { Form::Encoder } else { Form::Attention };
        let vectors =
            model.vectors(&Batch { lengths, ids, tokens: tokens as usize }, form, &device)?;
        for number in vectors {
            out.write_all(&number.to_le_bytes())?;
        }
        out.flush()?;
    }
    Ok(())
}

/// The three numbers before a batch, nothing where the input ends.
fn head(input: &mut impl Read) -> io::Result<Option<[u32; 3]>> {
    let mut bytes = [0; 12];
    match input.read_exact(&mut bytes) {
        Ok(()) => Ok(Some([0, 4, 8].map(|at| {
            u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        }))),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

fn numbers(input: &mut impl Read, count: usize) -> io::Result<Vec<i32>> {
    let mut bytes = vec![0; 4 * count];
    input.read_exact(&mut bytes)?;
    Ok(bytes
        .chunks_exact(4)
        .map(|four| i32::from_le_bytes([four[0], four[1], four[2], four[3]]))
        .collect())
}

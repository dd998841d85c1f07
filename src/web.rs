//! What a page calls: the engine as wasm-bindgen hands it to `web/engine.js`. No logic of its own.
//!
//! Requests come as JSON, numbers go as typed arrays, errors are `Error` objects with a `kind`.
//! Fetching, caching, the worker and what a user of the package sees are in `web/`.

mod files;
mod page;
mod verdicts;
mod words;

use std::rc::Rc;

use futures::future::{AbortHandle, AbortRegistration, Abortable};
use js_sys::{Array, Promise};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::future_to_promise;

use crate::encoder::{Encoder, Preprocessor};
use crate::error::Result;
use crate::model::load::Model;
use crate::text::Text;

pub use files::Files;
use files::Pages;
pub use verdicts::Verdicts;
use words::{Ask, Opening};

/// Tells the page's console what a panic says, before the engine stops for good.
#[wasm_bindgen(start)]
pub fn start() {
    std::panic::set_hook(Box::new(|panic| page::complain(&format!("everylayer: {panic}"))));
}

/// Looks at every file of a model that loading will ask for, weights by their header alone. A file
/// that the page has not fetched yet is an error of `files`, which knows which one it was.
///
/// # Errors
///
/// What loading would say of the files.
#[wasm_bindgen]
pub fn survey(files: Files, name: String) -> Result<(), JsValue> {
    let source = Pages::new(files, name);
    let survey = || -> Result<()> {
        Model::open(&source)?;
        Preprocessor::open(&source)?;
        Ok(())
    };
    survey().map_err(|e| page::error(&e))
}

/// A call that can be given up.
#[wasm_bindgen]
pub struct Call {
    handle: AbortHandle,
    registration: Option<AbortRegistration>,
}

#[wasm_bindgen]
impl Call {
    /// A call that has not begun.
    #[wasm_bindgen(constructor)]
    #[expect(clippy::new_without_default, reason = "only a page makes one")]
    pub fn new() -> Self {
        let (handle, registration) = AbortHandle::new_pair();
        Self { handle, registration: Some(registration) }
    }

    /// Gives it up: its promise is rejected with `undefined`, and the device gets no more work.
    pub fn stop(&self) {
        self.handle.abort();
    }

    /// `work` as a promise, until [`Call::stop`].
    fn promise<T: Into<JsValue> + 'static>(
        &mut self,
        work: impl Future<Output = Result<T>> + 'static,
    ) -> Promise {
        let registration = self.registration.take();
        future_to_promise(async move {
            // A call begins once.
            let Some(registration) = registration else { return Err(JsValue::UNDEFINED) };
            match Abortable::new(work, registration).await {
                Ok(result) => result.map(Into::into).map_err(|e| page::error(&e)),
                Err(_) => Err(JsValue::UNDEFINED),
            }
        })
    }
}

/// A model on its device.
#[wasm_bindgen]
pub struct Engine(Rc<Encoder>);

#[wasm_bindgen]
impl Engine {
    /// Loads the model of `files`: a promise of an [`Engine`]. What is found of its GPU is kept in `verdicts`.
    ///
    /// # Errors
    ///
    /// `Usage` for the options.
    pub fn load(
        files: Files,
        name: String,
        options: &str,
        verdicts: &Verdicts,
        call: &mut Call,
    ) -> Result<Promise, JsValue> {
        let mut options = Opening::parse(options).map_err(|e| page::error(&e))?;
        options.verified_in = Some(verdicts.place());
        Ok(call.promise(async move {
            let source = Pages::new(files, name);
            Ok(Self(Rc::new(Encoder::load(&source, &options).await?)))
        }))
    }

    /// Embeds `texts`: a promise of a list, the words of the result as JSON and then the numbers of
    /// each text.
    ///
    /// # Errors
    ///
    /// `Usage` for the request.
    pub fn embed(&self, texts: &str, ask: &str, call: &mut Call) -> Result<Promise, JsValue> {
        let encoder = Rc::clone(&self.0);
        let prompts = &encoder.pipeline().prompts;
        let (texts, capture) = words::texts(texts)
            .and_then(|texts| Ok((texts, Ask::parse(ask)?.capture(prompts)?)))
            .map_err(|e| page::error(&e))?;
        Ok(call.promise(async move {
            let embeddings = encoder.embed(texts, &capture).await?;
            let list = Array::of1(&words::head(&embeddings)?.into());
            for text in embeddings.texts {
                list.push(&page::numbers(&text.values));
            }
            Ok(list)
        }))
    }

    /// The tokens of `texts`, as JSON.
    ///
    /// # Errors
    ///
    /// `Usage` for the request; `Text` or `TooLong` for a text.
    pub fn tokenize(&self, texts: &str, ask: &str) -> Result<String, JsValue> {
        let tokenize = || {
            let texts: Vec<Text<'static>> = words::texts(texts)?;
            let capture = Ask::parse(ask)?.capture(&self.0.pipeline().prompts)?;
            let tokens = self.0.tokenize(&texts, &capture)?;
            words::tokens(self.0.name(), &texts, &tokens)
        };
        tokenize().map_err(|e| page::error(&e))
    }

    /// What the model is and where it runs, as JSON.
    ///
    /// # Errors
    ///
    /// None that is known.
    pub fn info(&self) -> Result<String, JsValue> {
        words::info(&self.0).map_err(|e| page::error(&e))
    }
}

//! Errors and numbers between the engine and the page.

use js_sys::{Float32Array, Int8Array, Reflect, Uint8Array, Uint16Array};
use wasm_bindgen::prelude::*;

use crate::embeddings::Values;
use crate::error::{Error, ErrorKind, Setting};

#[wasm_bindgen]
extern "C" {
    /// Writes to the console.
    #[wasm_bindgen(js_namespace = console, js_name = error)]
    pub fn complain(message: &str);
}

/// `e` with the options of the package that change what it suggests to change.
fn with_options(e: &Error) -> String {
    let option = |setting: Setting| match setting {
        Setting::Layers => Some("layers"),
        Setting::Combine => Some("combine"),
        Setting::MaxTokens => Some("maxTokens"),
        Setting::Overflow => Some("overflow"),
        Setting::Device => Some("device"),
        Setting::Dtype => Some("dtype"),
        Setting::BatchTokens => Some("batchTokens"),
        Setting::Coop | Setting::Columns => None,
    };
    format!("{e}{}", Setting::suffix(e.settings(), option))
}

/// `e` as an `Error` object with its `kind`.
pub fn error(e: &Error) -> JsValue {
    let object = js_sys::Error::new(&with_options(e));
    let kind = format!("{:?}", e.kind());
    // A new object takes any property.
    drop(Reflect::set(&object, &"kind".into(), &kind.into()));
    object.into()
}

/// What the page threw, as an error: its own `kind` where it has one of ours.
pub fn thrown(value: &JsValue) -> Error {
    let field = |name: &str| Reflect::get(value, &name.into()).ok().and_then(|v| v.as_string());
    let kind = match field("kind").as_deref() {
        Some("NotFound") => ErrorKind::NotFound,
        Some("Hub") => ErrorKind::Hub,
        Some("OutOfMemory") => ErrorKind::OutOfMemory,
        _ => ErrorKind::Io,
    };
    let message = field("message").unwrap_or_else(|| "the page could not read a file".to_owned());
    Error::new(kind, message)
}

/// A typed array with a copy of `values`; numbers of f16 as their bits.
pub fn numbers(values: &Values) -> JsValue {
    match values {
        Values::F32(v) => Float32Array::from(v.as_slice()).into(),
        Values::F16(v) => Uint16Array::from(bytemuck::cast_slice::<_, u16>(v)).into(),
        Values::I8(v) => Int8Array::from(v.as_slice()).into(),
        Values::U8(v) => Uint8Array::from(v.as_slice()).into(),
    }
}

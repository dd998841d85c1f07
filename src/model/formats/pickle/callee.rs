//! The names that a pickle of tensors may have; every other one is an error.

use crate::error::{Result, fail};
use crate::quote::quote;

/// What a pickle may name.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Callee {
    /// `collections.OrderedDict`
    OrderedDict,
    /// `torch.Size`, a tuple.
    Size,
    /// `torch._utils._rebuild_tensor_v2(storage, offset, size, stride, ..)`, and the one before it
    /// with these alone.
    Tensor,
    /// `torch._utils._rebuild_parameter(tensor, ..)`, with or without attributes after it.
    Parameter,
    /// `torch._tensor._rebuild_from_type_v2(function, class, arguments, attributes)`
    OfType,
    /// The class of tensors or of parameters.
    Class,
    /// `torch.FloatStorage` and its like, by its place in [`STORAGES`].
    Storage(usize),
}

/// The storages of torch: name, element type as safetensors calls it, bytes of an element.
pub const STORAGES: [(&str, &str, u64); 11] = [
    ("FloatStorage", "F32", 4),
    ("HalfStorage", "F16", 2),
    ("BFloat16Storage", "BF16", 2),
    ("DoubleStorage", "F64", 8),
    ("LongStorage", "I64", 8),
    ("IntStorage", "I32", 4),
    ("ShortStorage", "I16", 2),
    ("CharStorage", "I8", 1),
    ("ByteStorage", "U8", 1),
    ("BoolStorage", "BOOL", 1),
    ("ComplexFloatStorage", "C64", 8),
];

/// What `module.name` is.
pub fn callee(module: &str, name: &str) -> Result<Callee> {
    Ok(match (module, name) {
        ("collections", "OrderedDict") => Callee::OrderedDict,
        ("torch", "Size") => Callee::Size,
        ("torch._utils", "_rebuild_tensor_v2" | "_rebuild_tensor") => Callee::Tensor,
        ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => {
            Callee::Parameter
        }
        ("torch._tensor", "_rebuild_from_type_v2") => Callee::OfType,
        ("torch", "Tensor") | ("torch.nn.parameter", "Parameter") => Callee::Class,
        // Files of before torch 1 name those of the GPU.
        ("torch" | "torch.cuda", storage) if STORAGES.iter().any(|s| s.0 == storage) => {
            Callee::Storage(STORAGES.iter().position(|s| s.0 == storage).unwrap_or_default())
        }
        _ => {
            return Err(fail!(
                Unsupported,
                "the pickle names {module}.{name}: only tensors and containers are read, nothing \
                 is executed; save the state_dict alone, or as safetensors",
                module = quote(module),
                name = quote(name)
            ));
        }
    })
}

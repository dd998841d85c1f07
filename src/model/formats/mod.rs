//! Files of weights: safetensors and torch's, and the tensors in them by name.

pub mod checkpoint;
pub(crate) mod delta;
mod pickle;
mod safetensors;
mod tensor;
mod torch;
mod values;

//! Arithmetic on host numbers: what the CPU executor, captures and the modules after a model share.
//!
//! Nothing here knows of models, texts or devices.

pub mod activation;
pub mod f16;
pub mod norm;
pub mod pool;
pub mod quantise;
pub mod rollout;
pub mod simd;
pub mod softmax;
pub mod vector;

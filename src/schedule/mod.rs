//! From an encoder, a batch and a wish to a list of GPU work. Pure: no device, no I/O.
//!
//! [`record`] is the forward pass; everything else here is what it writes down and how memory is
//! shared.

pub mod caps;
mod check;
#[cfg(any(test, feature = "gpu", feature = "testing"))]
pub(crate) mod draft;
pub mod forward;
pub mod maps;
pub mod memory;
pub mod plan;
mod recorder;
pub mod recording;
pub mod site;
pub mod tiles;
pub mod tuning;
pub(crate) mod verify;

pub use crate::kernels::{
    Access, AdapterFeatures, Class, Elem, Merge, Narrow, NormInput, RowCut, RowSum, Staging, Tile,
    Variant, Vendor,
};
pub use crate::math::pool::PoolMode;
pub use caps::Caps;
pub use forward::{record, record_all, record_maps};
pub use maps::{MapExit, Reduce};
pub use plan::{Combination, Exit, Pooling, Route};
pub use recording::{Counts, Output, Recording};
pub use site::{Site, SiteRow};

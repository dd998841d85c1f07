//! Uniform blocks: `#[repr(C)]` twins of the WGSL structs, held equal by a test that reflects the
//! shaders (`tests/shaders.rs`).
//!
//! Sizes are in vectors of four numbers where a name ends in 4, else in what the comment says.

use std::fmt;

use bytemuck::Pod;

/// A uniform block. Executors write it with zeros behind it, up to 256 bytes.
pub trait Block: Pod + PartialEq + fmt::Debug {
    /// Its members in order, and their offsets in bytes.
    const MEMBERS: &'static [(&'static str, usize)];
}

/// Declares a [`Block`]: members of four bytes each.
macro_rules! block {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $member:ident: $type:ty),+ $(,)? }) => {
        $(#[$meta])*
        #[repr(C)]
        #[derive(Debug, Clone, Copy, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
        pub struct $name {
            $($(#[$doc])* pub $member: $type),+
        }

        impl $crate::kernels::Block for $name {
            const MEMBERS: &'static [(&'static str, usize)] =
                &[$((stringify!($member), std::mem::offset_of!($name, $member))),+];
        }
    };
}
pub(super) use block;

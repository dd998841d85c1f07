//! Keeps Mesa quiet on machines without a desktop, and wgpu where a device is lost.
//!
//! Mesa's device-select layer looks for a Wayland display whenever adapters are listed, and where
//! there is none prints `error: XDG_RUNTIME_DIR is invalid` on standard error, twice, beside the
//! one sentence that is ours. The layer only reorders adapters, which we choose by name and kind.

/// Leaves the layer out where there can be no Wayland display. To be called first in `main`.
#[expect(unsafe_code, reason = "the layer can only be told by the environment of this process")]
pub fn prepare() {
    let unset = |name| std::env::var_os(name).is_none();
    if cfg!(target_os = "linux") && unset("XDG_RUNTIME_DIR") && unset("NODEVICE_SELECT") {
        // SAFETY: the first statement of `main`: no other thread reads the environment yet.
        unsafe { std::env::set_var("NODEVICE_SELECT", "1") };
    }
    #[cfg(feature = "gpu")]
    lost_devices();
}

/// Leaves out what wgpu prints of a device that was lost while a thread of the library waited for it: the
/// call that it was lost for fails with a sentence.
#[cfg(feature = "gpu")]
fn lost_devices() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if std::thread::current().name() != Some(everylayer::gpu::device::POLLER) {
            before(panic);
        }
    }));
}

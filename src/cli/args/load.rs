//! Where a model is loaded, and how: the options that every command with a device has.

use clap::Args;
use everylayer::{Device, Dtype, LoadOptions, Verify};

use super::count;
use super::values::{device, dtype, verify};

/// Where the work is done.
#[derive(Debug, Args)]
pub struct DeviceArgs {
    /// Device: `auto`, `cpu`, `gpu`, or an adapter by number or by the start of a word of its name
    /// (see `everylayer info`)
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    #[arg(env = "EVERYLAYER_DEVICE", hide_env_values = true)]
    #[arg(value_parser = device(), hide_possible_values = true)]
    pub device: Device,
    /// How it is loaded there.
    #[command(flatten)]
    pub load: LoadArgs,
}

/// How a model is loaded, on any device.
#[derive(Debug, Args)]
pub struct LoadArgs {
    /// Storage type of weights, and on GPUs of the widest activations: `auto`, `f32` or `f16`
    #[arg(long, value_name = "TYPE", default_value = "auto")]
    #[arg(value_parser = dtype(), hide_possible_values = true)]
    pub dtype: Dtype,
    /// Maximum tokens per batch [default: 8192, or 4096 for `serve` on the CPU]
    #[arg(long, value_name = "N", value_parser = count)]
    pub batch_tokens: Option<usize>,
    /// Ignore stored results of `everylayer bench --tune`
    #[arg(long)]
    pub no_tune: bool,
    /// Use the GPU's cooperative matrices (experimental, not measured on hardware); needs --dtype
    /// f16
    #[arg(long)]
    pub coop: bool,
    /// When kernels of a GPU are held against the CPU before they are used: `once` (first use with an
    /// adapter and driver), `always` (each load) or `never`
    #[arg(long, value_name = "WHEN", default_value = "once")]
    #[arg(value_parser = verify(), hide_possible_values = true)]
    pub verify: Verify,
}

impl DeviceArgs {
    /// The library's options for the same.
    pub fn options(&self) -> LoadOptions {
        self.load.options(&self.device)
    }
}

impl LoadArgs {
    /// The library's options for the same on `device`.
    pub fn options(&self, device: &Device) -> LoadOptions {
        let options = LoadOptions::default().device(device.clone()).dtype(self.dtype);
        let options = options.untuned(self.no_tune).coop(self.coop).verify(self.verify);
        match self.batch_tokens {
            Some(tokens) => options.batch_tokens(tokens),
            None => options,
        }
    }
}

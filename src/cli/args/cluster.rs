//! Whether a cluster does the work of `embed`, and with how much of it.

use clap::{Args, ValueEnum};

use super::count;

/// Where a corpus is run instead of in this process.
#[derive(Debug, Args)]
pub struct ClusterArgs {
    /// Run on a cluster: `ray` (the one that RAY_ADDRESS names, else a new one on this machine);
    /// needs the Python package, a Parquet file or folder as FILE, --id, and a folder as --output
    #[arg(long, value_name = "ENGINE", hide_possible_values = true, requires_all = ["id", "input", "output"])]
    pub on: Option<Engine>,
    /// Input column that tells rows apart, kept in the output of --on
    #[arg(long, value_name = "NAME", requires = "on")]
    pub id: Option<String>,
    /// Number of workers of --on; each loads the model [default: 1]
    #[arg(long, value_name = "N", value_parser = count, requires = "on")]
    pub workers: Option<usize>,
    /// What --on reserves for each worker: `cpu=N`, `gpu=N`, or a resource of the cluster, such as
    /// `vulkan=1` [default: cpu=1]
    #[arg(long, value_name = "NAME=N,..", value_delimiter = ',', requires = "on")]
    pub worker_resources: Vec<String>,
}

/// What runs a corpus on many machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Engine {
    /// Ray Data.
    Ray,
}

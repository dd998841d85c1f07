//! What the driver makes of each kernel.

use std::collections::HashMap;

use everylayer::gpu::kernels;
use everylayer::kernels::{AdapterFeatures, Class, Tile, Variant};
use serde::{Deserialize, Serialize};

use crate::aco;
use crate::driver::{Compiled, Driver};
use crate::failure::Failure;
use crate::family::{Family, Vendor};
use crate::spirv;
use crate::statistics::Statistics;

/// One line of the report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The kernel's file in `shaders/`, without `.wgsl`.
    pub kernel: String,
    /// The variant's name, which starts with the kernel's.
    pub variant: String,
    /// What the driver tells.
    #[serde(flatten)]
    pub found: Statistics,
    /// Share of the innermost loop's cycles that are multiply-adds, 0 to 1; none where a kernel is
    /// not arithmetic.
    pub alu_efficiency: Option<f64>,
}

/// The head sizes of the attention kernels that are looked at.
const HEAD_DIMS: [u32; 8] = [16, 32, 48, 64, 80, 96, 128, 256];
/// Numbers of a row, each another number of vectors an invocation.
const STRIDES: [usize; 3] = [256, 512, 1024];

/// Every variant that a GPU of `family` with subgroups may be given: not those for processors that play
/// one, nor those for other vendors' GPUs.
pub fn variants(family: Family) -> Vec<Variant> {
    // AMD's matrices are 16 x 16.
    let coop = Some(Tile::Coop16);
    let (class, vendor) = (Class::Large, family.cut_for());
    let can = AdapterFeatures { class, vendor, subgroups: true, half: true, coop };
    let for_gpus = |variant: &Variant| variant.runs_on(&can);
    kernels::variants(&HEAD_DIMS, &STRIDES).into_iter().filter(for_gpus).collect()
}

/// Unrolling stops here: a body of more steps tells nothing new and takes seconds to compile.
const MOST_UNROLLED: u32 = 64;

/// How far the cost of a step may still move between two unroll depths when it counts as settled.
const SETTLED: f64 = 0.01;

/// Compiles kernels and reads what the driver tells of them.
pub struct Bench {
    driver: Driver,
    family: Family,
    /// Inverse throughput of a multiply-add by loop depth.
    weights: HashMap<usize, f64>,
}

impl Bench {
    /// On a driver that is `family`.
    pub fn new(driver: Driver, family: Family) -> Self {
        Self { driver, family, weights: HashMap::new() }
    }

    /// The GPU it compiles for.
    pub fn family(&self) -> Family {
        self.family
    }

    fn vendor(&self) -> Vendor {
        self.family.vendor()
    }

    /// The device's name and the driver's version.
    pub fn name(&self) -> &str {
        &self.driver.name
    }

    /// Compiles a whole WGSL module, with the driver's representations of it where `texts`. None
    /// where it asks for what the device does not have.
    ///
    /// # Errors
    ///
    /// [`Failure::Work`] where it does not compile.
    pub fn compile(&self, text: &str, texts: bool) -> Result<Option<Compiled>, Failure> {
        let module = spirv::compile(text, self.driver.spirv)?;
        if module.matrices && !self.driver.matrices {
            return Ok(None);
        }
        self.driver.compile(&module, texts).map(Some)
    }

    /// The line of a variant; none where the device does not have what it asks for.
    ///
    /// # Errors
    ///
    /// [`Failure::Work`] that names the variant.
    pub fn variant(&mut self, variant: Variant) -> Result<Option<Row>, Failure> {
        let name = variant.to_string();
        let Some(row) = self.row(variant.kernel(), &name, &kernels::source(variant))? else {
            return Ok(None);
        };
        let efficiency = match self.vendor() {
            Vendor::Amd => self.of_a_step(variant),
            Vendor::Intel => self.of_the_loop(variant, &row.found),
            Vendor::Adreno => Ok(None),
        };
        let alu_efficiency = efficiency.map_err(|e| e.of(&name))?;
        Ok(Some(Row { alu_efficiency, ..row }))
    }

    /// [`Bench::efficiency`] of a step; none for a kernel that is not arithmetic, or whose depths tell
    /// none.
    fn of_a_step(&mut self, variant: Variant) -> Result<Option<f64>, Failure> {
        let Some(costs) = self.steps(variant)? else { return Ok(None) };
        Ok(self
            .efficiency(&costs)
            .inspect_err(|e| eprintln!("{variant}: no ALU efficiency: {e}"))
            .ok())
    }

    /// Cycles of the innermost loop's multiply-adds at their best, over those of the kernel: that loop counts
    /// a hundred times, so little else is in them. One more step in a row tells nothing here: the compiler
    /// goes over to another order of instructions, and the kernel to a half or a multiple of its cycles.
    fn of_the_loop(
        &mut self,
        variant: Variant,
        found: &Statistics,
    ) -> Result<Option<f64>, Failure> {
        let unroll = variant.unroll() as u32;
        let (Some(unrolled), Some(cycles)) = (kernels::unrolled(variant, unroll), found.cycles)
        else {
            return Ok(None);
        };
        let best = self.weight(NESTED)? * f64::from(unrolled.fmas) * width(found);
        Ok(Some((best / cycles as f64 * 1e4).round() / 1e4))
    }

    /// The line of a whole WGSL module, without its efficiency.
    ///
    /// # Errors
    ///
    /// [`Failure::Work`] that names it.
    pub fn row(&self, kernel: &str, name: &str, text: &str) -> Result<Option<Row>, Failure> {
        let read = || -> Result<Option<Row>, Failure> {
            let Some(compiled) = self.compile(text, false)? else { return Ok(None) };
            let found = Statistics::read(self.vendor(), &compiled)?;
            Ok(Some(Row {
                kernel: kernel.to_owned(),
                variant: name.to_owned(),
                found,
                alu_efficiency: None,
            }))
        };
        read().map_err(|e| e.of(name))
    }

    /// What a multiply-add of the innermost loop costs, with its share of the step's loads and
    /// addresses, between one step a body and two, two and four and so on until that is settled:
    /// what the estimate of the whole kernel grows by. The loop's own counting is not in it. None
    /// for a kernel that is not arithmetic.
    fn steps(&self, variant: Variant) -> Result<Option<Vec<Cost>>, Failure> {
        let Some(mut last) = self.unrolled(variant, 1)? else { return Ok(None) };
        let scratch = last.scratch;
        let mut costs: Vec<Cost> = Vec::new();
        let mut unroll = 2;
        while unroll <= MOST_UNROLLED && !settled(&costs) {
            let Some(next) = self.unrolled(variant, unroll)? else { break };
            // Copies that overlap may want more registers than there are; the loop does not.
            if next.scratch > scratch {
                break;
            }
            costs.extend(Cost::between(&last, &next));
            (last, unroll) = (next, unroll * 2);
        }
        Ok(Some(costs))
    }

    /// Static ALU efficiency: cycles of a multiply-add at the GPU's peak over cycles it costs. The
    /// estimate of AMD's is the larger of two lines, of the arithmetic and of the latency that too few
    /// waves do not hide, and copies of a step may overlap as turns of the loop do not: the dearest
    /// step is the honest one.
    fn efficiency(&mut self, costs: &[Cost]) -> Result<f64, Failure> {
        let Some(dearest) = costs.iter().max_by(|a, b| a.cycles.total_cmp(&b.cycles)) else {
            return Err(Failure::Work("no two depths of its loop can be compared".to_owned()));
        };
        let efficiency = self.weight(dearest.depth)? / dearest.cycles;
        if !(0.0..=1.0 + SETTLED).contains(&efficiency) {
            return Err(Failure::Work(format!(
                "{efficiency:.3} would be more multiply-adds than the GPU can do"
            )));
        }
        Ok((efficiency.min(1.0) * 1e4).round() / 1e4)
    }

    fn unrolled(&self, variant: Variant, unroll: u32) -> Result<Option<Depth>, Failure> {
        let Some(unrolled) = kernels::unrolled(variant, unroll) else { return Ok(None) };
        let Some(compiled) = self.compile(&unrolled.source, true)? else { return Ok(None) };
        let found = Statistics::read(self.vendor(), &compiled)?;
        let Some(cycles) = found.estimate() else { return Ok(None) };
        let Some((_, ir)) = compiled.texts.iter().find(|(name, _)| name == "ACO IR") else {
            return Err(Failure::Work("the driver shows no \"ACO IR\"".to_owned()));
        };
        Ok(Some(Depth {
            fmas: u64::from(unrolled.fmas),
            cycles: cycles as f64,
            scratch: found.scratch_bytes,
            products: aco::multiplies(ir),
        }))
    }

    /// Best cost of a multiply-add inside `depth` loops, which bare multiply-adds tell. On AMD it is the
    /// family's cycles, times what the compiler at hand weighs such loops with.
    fn weight(&mut self, depth: usize) -> Result<f64, Failure> {
        if let Some(known) = self.weights.get(&depth) {
            return Ok(*known);
        }
        // ACO's estimate is of the scarcest unit, which loads of more sums would be. Intel's is of a thread
        // that waits, for the multiply-add before where there are few.
        let sums = if self.vendor() == Vendor::Amd { 2 } else { 16 };
        let probe = |depth: usize| -> Result<f64, Failure> {
            let cycles = |fmas: usize| -> Result<f64, Failure> {
                let found = match self.compile(&probe(depth, fmas, sums), false)? {
                    Some(compiled) => Statistics::read(self.vendor(), &compiled)?,
                    None => Statistics::default(),
                };
                let cycles = found.estimate().map(|cycles| cycles as f64 / width(&found));
                cycles.ok_or_else(|| Failure::Work("the driver estimates no cycles".to_owned()))
            };
            Ok((cycles(256)? - cycles(128)?) / 128.0)
        };
        let weight = match self.family.cycles_per_fma() {
            Some(best) => (probe(depth)? / probe(0)?).round() * best as f64,
            None => probe(depth)?,
        };
        if !weight.is_finite() || weight < 1.0 {
            return Err(Failure::Work("bare multiply-adds cost nothing".to_owned()));
        }
        self.weights.insert(depth, weight);
        Ok(weight)
    }
}

/// Invocations of a thread in eights, where the compiler chooses how many it has.
fn width(found: &Statistics) -> f64 {
    found.simd.map_or(1.0, |simd| simd as f64 / 8.0)
}

/// Whether the last step is no dearer than the one before it.
fn settled(costs: &[Cost]) -> bool {
    matches!(costs, [.., before, last] if last.cycles <= before.cycles * (1.0 + SETTLED))
}

/// A kernel at one unroll depth.
struct Depth {
    fmas: u64,
    cycles: f64,
    scratch: u64,
    products: Vec<u64>,
}

/// Loops around a step of a product or of attention: k or keys in a tile, and tiles.
const NESTED: usize = 2;

/// What a multiply-add costs between two of them.
struct Cost {
    depth: usize,
    cycles: f64,
}

impl Cost {
    fn between(fewer: &Depth, more: &Depth) -> Option<Self> {
        let fmas = more.fmas - fewer.fmas;
        let depth = aco::depth_of_growth(&fewer.products, &more.products, fmas)?;
        let cycles = (more.cycles - fewer.cycles) / fmas as f64;
        Some(Self { depth, cycles })
    }
}

/// WGSL of `fmas` multiply-adds a lane to so many vectors of `sums`, and little else, inside `depth` loops.
fn probe(depth: usize, fmas: usize, sums: usize) -> String {
    let mut text = "\
@group(0) @binding(0) var<uniform> n: u32;
@group(0) @binding(1) var<storage, read_write> a: array<vec4<f32>>;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let at = id.x * 64u; let x = a[at]; let y = a[at + 1u];
"
    .to_owned();
    let each = |line: &dyn Fn(usize) -> String| (0..sums).map(line).collect::<String>();
    text.push_str(&each(&|i| format!("var s{i} = a[at + {}u];\n", i + 2)));
    for i in 0..depth {
        text.push_str(&format!("for (var i{i} = 0u; i{i} < n; i{i}++) {{\n"));
    }
    text.push_str(&each(&|i| format!("s{i} = fma(s{i}, x, y);\n")).repeat(fmas / (4 * sums)));
    text.push_str(&"}".repeat(depth));
    text.push_str(&each(&|i| format!("a[at + {}u] = s{i};\n", i + 2)));
    text.push_str("}\n");
    text
}

#[cfg(test)]
mod tests {
    use super::{Cost, Depth, probe, variants};
    use crate::family::Family;
    use crate::spirv;

    #[test]
    fn probes_are_kernels() {
        for depth in 0..4 {
            assert!(spirv::compile(&probe(depth, 128, 16), (1, 6)).is_ok(), "{depth}");
        }
    }

    #[test]
    fn every_variant_and_what_is_unrolled_of_it_becomes_spirv() {
        use everylayer::gpu::kernels;
        let mut arithmetic = 0;
        for variant in variants(Family::Tgl).into_iter().chain(variants(Family::Navi21)) {
            assert!(spirv::compile(&kernels::source(variant), (1, 6)).is_ok(), "{variant}");
            let Some(unrolled) = kernels::unrolled(variant, 4) else { continue };
            assert!(spirv::compile(&unrolled.source, (1, 6)).is_ok(), "{variant}");
            let once = kernels::unrolled(variant, 1).map(|u| u.fmas);
            assert_eq!(once.map(|fmas| fmas * 4), Some(unrolled.fmas), "{variant}");
            arithmetic += 1;
        }
        assert!(arithmetic > 0);
    }

    #[test]
    fn the_cost_of_a_step_is_what_the_whole_grows_by() {
        let at = |fmas, cycles: u32| Depth {
            fmas,
            cycles: cycles.into(),
            scratch: 0,
            products: vec![40, 5, fmas],
        };
        let cost = Cost::between(&at(64, 5626), &at(128, 9850)).unwrap();
        assert_eq!((cost.depth, cost.cycles), (2, 66.0));
        let other = Depth { products: vec![40, 5 + 128 * 16], ..at(128, 9850) };
        assert!(Cost::between(&at(64, 5626), &other).is_none());
    }
}

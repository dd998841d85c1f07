//! The schedule alone, no device: what a recording says, counts, shares and refuses.
//!
//! `tests/golden/recording_*.txt` are recordings as they print. EVERYLAYER_BLESS=1 writes them
//! anew: read the difference before it is committed.

mod toy;

use everylayer::ErrorKind;
use everylayer::model::layout::Layout;
use everylayer::model::spec::{Rope, Spec};
use everylayer::schedule::recording::{Bind, Dispatch, Fill, Readback};
use everylayer::schedule::tuning::Tuning;
use everylayer::schedule::{
    Access, AdapterFeatures, Caps, Class, Combination, Elem, Exit, Merge, PoolMode, Pooling,
    Recording, Vendor, record,
};
use everylayer::text::pack::PackedBatch;
use toy::model::{SMALL, Shape, pack};
use toy::{Report, Rng};

/// Default WebGPU limits.
const CAPS: Caps = Caps {
    max_binding: 128 << 20,
    elem: Elem::F32,
    narrow: false,
    can: AdapterFeatures {
        class: Class::Small,
        vendor: Vendor::Portable,
        subgroups: false,
        half: false,
        coop: None,
    },
    tuning: Tuning::none(),
    submit_read_bytes: 8 << 20,
    submit_flops: 200_000_000_000,
};

fn states(states: impl IntoIterator<Item = usize>) -> Exit {
    Exit::states(states)
}

fn mean_of(states: usize) -> Option<Combination> {
    Some(Combination { merge: Merge::Linear, factors: vec![1.0 / states as f32; states] })
}

fn pooled(reduces: &[PoolMode]) -> Option<Pooling> {
    Some(Pooling { reduces: reduces.to_vec(), pooler: false })
}

/// A small model and a batch of three texts.
fn small() -> (Spec, Layout, PackedBatch) {
    let spec = SMALL.spec();
    let layout = Layout::new(&spec).unwrap();
    let batch = pack(&mut Rng::new(1), &spec, &[130, 64, 7]);
    (spec, layout, batch)
}

fn golden(name: &str, recording: &Recording) {
    let path = format!("{}/tests/golden/recording_{name}.txt", env!("CARGO_MANIFEST_DIR"));
    let got = recording.to_string();
    if std::env::var("EVERYLAYER_BLESS").is_ok_and(|v| v == "1") {
        std::fs::write(&path, &got).unwrap();
    }
    let want = std::fs::read_to_string(&path)
        .unwrap_or_else(|e| panic!("{path}: {e}; EVERYLAYER_BLESS=1 writes it"))
        .replace("\r\n", "\n");
    let lines = got.lines().count().max(want.lines().count());
    let line = |text: &str, i| text.lines().nth(i).unwrap_or("(nothing)").to_owned();
    let differ: Vec<_> = (0..lines)
        .map(|i| (i + 1, line(&got, i), line(&want, i)))
        .filter(|(_, got, want)| got != want)
        .map(|(i, got, want)| format!("line {i}\n  got  {got}\n  want {want}"))
        .collect();
    assert!(got == want, "{path} (EVERYLAYER_BLESS=1 writes it anew):\n{}", differ.join("\n"));
}

/// all-MiniLM-L6-v2.
const MINI: Shape = Shape { depth: 6, heads: 12, head_dim: 32, width: 384, inner: 1536, ..SMALL };

#[test]
fn activations_in_16_bits_take_half() {
    let spec = MINI.spec();
    let layout = Layout::new(&spec).unwrap();
    let batch = pack(&mut Rng::new(9), &spec, &[128; 8]);
    let wide = Caps { elem: Elem::PackedF16, ..CAPS };
    let narrow = Caps { narrow: true, ..wide.clone() };
    let write = |caps| record(&spec, &layout, &batch, &states([6]), caps).unwrap();
    let (wide, narrow) = (write(&wide), write(&narrow));
    let bytes =
        |r: &Recording, name| r.buffers().iter().find(|b| b.name() == name).unwrap().bytes();
    for name in ["qkv", "context", "inner"] {
        assert_eq!(bytes(&wide, name), 2 * bytes(&narrow, name), "{name}");
    }
    for name in ["x", "h", "sum"] {
        assert_eq!(bytes(&wide, name), bytes(&narrow, name), "{name}");
    }
    let (before, after) = (wide.counts(), narrow.counts());
    assert!(5 * after.memory < 4 * before.memory, "{before:?} {after:?}");
    assert_eq!((before.flops, before.dispatches), (after.flops, after.dispatches));
    // What a binding holds is counted in the same bytes: 1,536 numbers of a row, then 768 words.
    let most = |narrow| Caps { max_binding: 4 * 1536 * 100, narrow, ..CAPS };
    assert_eq!(most(false).max_tokens(&spec, &layout), 100);
    assert_eq!(most(true).max_tokens(&spec, &layout), 200);
}

/// What B.6 of the plan bounds: bytes to the host and submits of a folded batch.
#[test]
fn a_folded_batch_brings_back_vectors_and_little_else() {
    let spec = MINI.spec();
    let layout = Layout::new(&spec).unwrap();
    for (elem, narrow) in [(Elem::F32, false), (Elem::PackedF16, true)] {
        let caps = Caps { elem, narrow, ..CAPS };
        for texts in [1, 8, 40] {
            let batch = pack(&mut Rng::new(9), &spec, &vec![128; texts]);
            let exit = Exit { pool: pooled(&[PoolMode::Mean]), ..states(0..=6) };
            let counts = record(&spec, &layout, &batch, &exit, &caps).unwrap().counts();
            let vectors = 7 * texts as u64 * 384 * 4;
            assert!((vectors..=vectors + 4096).contains(&counts.bytes_down), "{counts:?}");
            assert_eq!(counts.submits, 1);
        }
    }
}

/// A watchdog ends what runs for seconds. Work is bounded by a rate that was measured, at 0.1 s a
/// submit: no submit is estimated above that, and one text that is goes in parts.
#[test]
fn no_submit_is_longer_than_the_rate_allows() {
    // BERT-large.
    let shape = Shape { depth: 2, heads: 16, head_dim: 64, width: 1024, inner: 4096, ..SMALL };
    let mut spec = shape.spec();
    spec.positions = 8192;
    spec.embedding.position.as_mut().unwrap().rows = 8192;
    let layout = Layout::new(&spec).unwrap();
    let mut report = Report::new("seconds of a submit");
    for rate in [0.1e12, 0.5e12, 2e12, 20e12] {
        for narrow in [false, true] {
            let submit_flops = (0.1 * rate) as u64;
            let elem = if narrow { Elem::PackedF16 } else { Elem::F32 };
            let caps = Caps { submit_flops, narrow, elem, ..CAPS };
            let most = caps.timely_tokens(&layout).min(8192);
            report.check(most >= 256, || format!("{rate:e}: {most} tokens a batch"));
            // One head of attention is the least that a submit may be: of the long text 17 GFLOP.
            let long = if rate > 0.2e12 { 8192 } else { 4096 };
            for texts in [vec![128; most / 128], vec![long]] {
                let batch = pack(&mut Rng::new(10), &spec, &texts);
                let recording = record(&spec, &layout, &batch, &states([2]), &caps).unwrap();
                for (i, submit) in recording.submits().iter().enumerate() {
                    let flops: u64 = submit.dispatches().iter().map(|d| d.flops()).sum();
                    let seconds = flops as f64 / rate;
                    report.check(seconds < 0.15, || {
                        let count = texts.len();
                        format!("{rate:e} a second, {count} texts: submit {i} takes {seconds:.3} s")
                    });
                }
            }
        }
    }
    report.finish();
}

#[test]
fn every_state_streamed_reads_as_it_did() {
    let (spec, layout, batch) = small();
    golden("stream", &record(&spec, &layout, &batch, &states(0..=2), &CAPS).unwrap());
}

#[test]
fn the_mean_of_every_state_folded_reads_as_it_did() {
    let (spec, layout, batch) = small();
    let exit = Exit { combine: mean_of(3), pool: pooled(&[PoolMode::Mean]), ..states(0..=2) };
    golden("fold", &record(&spec, &layout, &batch, &exit, &CAPS).unwrap());
}

#[test]
fn a_pooler_over_gathered_rows_reads_as_it_did() {
    let (spec, layout) = gathering();
    let caps = Caps { max_binding: GATHERS, elem: Elem::PackedF16, narrow: true, ..CAPS };
    let batch = pack(&mut Rng::new(2), &spec, &[66, 9]);
    let pool = Some(Pooling { reduces: vec![PoolMode::Cls], pooler: true });
    let exit = Exit { pool, ..states([2]) };
    golden("gather", &record(&spec, &layout, &batch, &exit, &caps).unwrap());
}

/// A model whose word table, 64,000 bytes in f16, is above [`GATHERS`]; nothing else is.
fn gathering() -> (Spec, Layout) {
    let spec = Shape { vocab: 1000, ..SMALL }.spec();
    let layout = Layout::new(&spec).unwrap();
    (spec, layout)
}

const GATHERS: u64 = 60_000;

/// Exits of every kind for a model of `depth` blocks.
fn exits(depth: usize) -> Vec<Exit> {
    let all: Vec<_> = (0..=depth).collect();
    let backward: Vec<_> = all.iter().rev().copied().collect();
    let ends = if depth == 0 { vec![0] } else { vec![depth, 0] };
    let max = Some(Combination { merge: Merge::Max, factors: vec![1.0; depth + 1] });
    let two = pooled(&[PoolMode::Mean, PoolMode::Max]);
    vec![
        states(all.clone()),
        states(backward.clone()),
        states([0]),
        states(ends.clone()),
        Exit { combine: mean_of(depth + 1), ..states(all.clone()) },
        Exit { combine: max.clone(), pool: two.clone(), ..states(all.clone()) },
        Exit { combine: mean_of(ends.len()), pool: two.clone(), ..states(ends) },
        Exit { pool: two, ..states(backward) },
        Exit { combine: max, ..states(all) },
        Exit {
            pool: Some(Pooling { reduces: vec![PoolMode::Cls], pooler: true }),
            ..states([depth])
        },
    ]
}

/// Bindings that a dispatch reads, and those it writes; `tests/shaders.rs` holds both against WGSL.
fn access(dispatch: &Dispatch) -> (Vec<usize>, Vec<usize>) {
    let variant = dispatch.variant();
    let starts = dispatch.work().starts();
    let reads = |access: Access| match access {
        Access::Read => true,
        Access::Write => false,
        Access::Change => !starts,
    };
    let at = |is: &dyn Fn(Access) -> bool| {
        let bindings = variant.bindings().iter().enumerate();
        bindings.filter(|(_, access)| is(**access)).map(|(at, _)| at).collect()
    };
    (at(&reads), at(&Access::writes))
}

#[test]
fn what_is_read_is_what_was_written_last_in_its_slot() {
    let mut report = Report::new("slots");
    let mut rng = Rng::new(3);
    for depth in [0, 1, 2, 5] {
        let spec = Shape { depth, ..SMALL }.spec();
        let layout = Layout::new(&spec).unwrap();
        for exit in exits(depth) {
            for read_bytes in [0, 30_000, u64::MAX] {
                for flops in [0, 2_000_000, u64::MAX] {
                    let caps = Caps { submit_read_bytes: read_bytes, submit_flops: flops, ..CAPS };
                    let narrow = flops == 0;
                    let elem = if narrow { Elem::PackedF16 } else { Elem::F32 };
                    let caps = Caps { elem, narrow, ..caps };
                    let lengths: Vec<_> =
                        (0..rng.below(6) + 1).map(|_| rng.below(90) + 1).collect();
                    let batch = pack(&mut rng, &spec, &lengths);
                    let recording = record(&spec, &layout, &batch, &exit, &caps).unwrap();
                    let case = || format!("depth {depth} {exit:?} {caps:?}\n{recording}");
                    let said = lost(&recording);
                    report.check(said.is_empty(), || format!("{}\n{}", said.join("\n"), case()));
                    let counts = recording.counts();
                    report.check(counts.memory == recording.slots().iter().sum::<u64>(), case);
                    let fits = recording.buffers().iter().all(|b| {
                        b.bytes() <= recording.slots()[b.slot()]
                            && b.bytes()
                                == if b.is_narrow() { 2 } else { 4 }
                                    * b.shape().iter().product::<usize>() as u64
                    });
                    report.check(fits, case);
                }
            }
        }
    }
    report.finish();
}

/// Follows a recording step by step with the array that each slot holds.
fn lost(recording: &Recording) -> Vec<String> {
    let mut said = Vec::new();
    let mut holds = vec![usize::MAX; recording.slots().len()];
    let mut written = vec![false; recording.buffers().len()];
    let slot = |id: usize| recording.buffers()[id].slot();
    for (id, _) in recording.uploads() {
        holds[slot(id.index())] = id.index();
        written[id.index()] = true;
    }
    for (i, submit) in recording.submits().iter().enumerate() {
        for dispatch in submit.dispatches() {
            let arrays = |at: &[usize]| -> Vec<usize> {
                let bound = at.iter().map(|&at| dispatch.binds()[at]);
                bound
                    .filter_map(|b| if let Bind::Buffer(id) = b { Some(id.index()) } else { None })
                    .collect()
            };
            let (reads, writes) = access(dispatch);
            let (reads, writes) = (arrays(&reads), arrays(&writes));
            let label = dispatch.label();
            for &id in &reads {
                if holds[slot(id)] != id {
                    said.push(format!("`{label}` reads array {id}, which is gone"));
                }
            }
            for &id in &writes {
                // Arrays written in several steps (status, merged, pooled) have to last.
                if written[id] && holds[slot(id)] != id {
                    said.push(format!("`{label}` adds to array {id}, which is gone"));
                }
                let others = reads.iter().chain(&writes).filter(|&&other| other != id);
                if others.clone().any(|&other| slot(other) == slot(id)) {
                    said.push(format!("`{label}` writes over another of its arrays"));
                }
            }
            for id in writes {
                holds[slot(id)] = id;
                written[id] = true;
            }
        }
        for read in submit.readbacks() {
            if holds[slot(read.buffer().index())] != read.buffer().index() {
                said.push(format!(
                    "submit {} reads back {:?}, which is gone",
                    i + 1,
                    read.output()
                ));
            }
        }
    }
    said
}

#[test]
fn only_the_blocks_that_are_asked_for_are_run() {
    let spec = Shape { depth: 6, ..SMALL }.spec();
    let layout = Layout::new(&spec).unwrap();
    let batch = pack(&mut Rng::new(4), &spec, &[20, 3]);
    let mut report = Report::new("early exit");
    for deepest in 0..=6 {
        // One for the embedding, seven a block: qkv, attention, output, norm, up, down, norm.
        let layers = 1 + 7 * deepest;
        let pool = pooled(&[PoolMode::Mean, PoolMode::Cls]);
        for (exit, more) in [
            (states([deepest]), 0),
            (states([0, deepest].into_iter().take(deepest + 1)), 0),
            (Exit { pool: pool.clone(), ..states([deepest]) }, 2),
            (Exit { combine: mean_of(deepest + 1), ..states(0..=deepest) }, deepest + 1),
            (Exit { combine: mean_of(deepest + 1), pool, ..states(0..=deepest) }, deepest + 3),
        ] {
            let recording = record(&spec, &layout, &batch, &exit, &CAPS).unwrap();
            let got = recording.counts().dispatches;
            report.check(got == layers + more, || {
                format!("{exit:?}: {got} dispatches, want {}", layers + more)
            });
        }
    }
    report.finish();
}

#[test]
fn a_submit_is_closed_by_its_readbacks_and_by_its_work() {
    let spec = Shape { depth: 6, ..SMALL }.spec();
    let layout = Layout::new(&spec).unwrap();
    let batch = pack(&mut Rng::new(5), &spec, &[50]);
    let state = 50 * 32 * 4;
    let mut report = Report::new("submits");
    // Seven states and the status word after them; the last submit may have the word alone.
    for (states_in_one, want) in [(1, 8), (2, 4), (3, 3), (4, 2), (7, 2), (8, 1)] {
        let caps = Caps { submit_read_bytes: states_in_one * state, ..CAPS };
        let recording = record(&spec, &layout, &batch, &states(0..=6), &caps).unwrap();
        let got = recording.submits().len();
        report.check(got == want, || {
            format!("{states_in_one} states a submit: {got} submits, want {want}")
        });
        for submit in recording.submits() {
            let bytes = |r: &Readback| recording.buffer(r.buffer()).bytes();
            let before: u64 = submit.readbacks().iter().rev().skip(1).map(bytes).sum();
            report.check(before < caps.submit_read_bytes, || {
                format!(
                    "{states_in_one} states a submit: one has {} readbacks",
                    submit.readbacks().len()
                )
            });
        }
    }
    for flops in [1, 1_000_000, 3_000_000, u64::MAX] {
        let caps = Caps { submit_flops: flops, ..CAPS };
        let recording = record(&spec, &layout, &batch, &states([6]), &caps).unwrap();
        for (i, submit) in recording.submits().iter().enumerate() {
            let work: Vec<u64> =
                submit.dispatches().iter().map(|d| d.flops()).filter(|&f| f > 0).collect();
            let total = work.iter().sum::<u64>();
            report.check(total <= flops || work.len() == 1, || {
                format!("submit {i} does {total} of at most {flops}")
            });
        }
        let want = spec.flops([50], 6);
        let got = recording.counts().flops;
        // The recording counts padded numbers as well.
        report.check(got >= want && got < want * 13 / 10, || format!("{got} flops, want {want}"));
    }
    report.finish();
}

#[test]
fn what_cannot_be_run_is_refused() {
    let (spec, layout, batch) = small();
    let with = |change: &dyn Fn(&mut PackedBatch)| {
        let mut batch = batch.clone();
        change(&mut batch);
        batch
    };
    let empty = PackedBatch { offsets: vec![0], ..PackedBatch::default() };
    let pooler = |reduces: &[PoolMode]| Some(Pooling { reduces: reduces.to_vec(), pooler: true });
    let last = states([2]);
    let two_of_three = Exit { combine: mean_of(2), ..states(0..=2) };
    // 3 parts of 3 texts of 32 numbers are 1,152 bytes.
    let three = Exit { pool: pooled(&[PoolMode::Mean]), ..states(0..=2) };
    let no_mode = Exit { pool: pooled(&[]), ..states([2]) };
    let mean_pooler = Exit { pool: pooler(&[PoolMode::Mean]), ..states([2]) };
    let all_poolers = Exit { pool: pooler(&[PoolMode::Cls]), ..states(0..=2) };
    let usage = [
        ("no tokens", empty, last.clone()),
        ("state 3", batch.clone(), states([0, 3])),
        ("no state", batch.clone(), states([])),
        ("a state twice", batch.clone(), states([1, 2, 1])),
        ("two factors for three states", batch.clone(), two_of_three),
        ("no mode", batch.clone(), no_mode),
        ("a pooler over a mean", batch.clone(), mean_pooler),
        ("a pooler over three states", batch.clone(), all_poolers),
        ("no offsets", with(&|b| b.offsets.clear()), last.clone()),
        ("a first text past row 0", with(&|b| b.offsets[0] = 1), last.clone()),
        ("a last text past the end", with(&|b| b.offsets[3] = 202), last.clone()),
        ("a last text before the end", with(&|b| b.offsets[3] = 200), last.clone()),
        ("an empty text", with(&|b| b.offsets[1] = 194), last.clone()),
        ("texts in the wrong order", with(&|b| b.offsets[1] = 200), last.clone()),
        ("too few positions", with(&|b| b.positions.truncate(200)), last.clone()),
        ("too many types", with(&|b| b.types.push(0)), last.clone()),
    ]
    .map(|(name, batch, exit)| (name, batch, exit, CAPS, ErrorKind::Usage));
    let binds = |max_binding| Caps { max_binding, ..CAPS };
    let limits = [
        ("201 tokens where 185 fit", last.clone(), binds(80_000), Some(ErrorKind::Usage)),
        ("201 tokens where 201 fit", last.clone(), binds(201 * 432), None),
        ("pooled vectors that fit", three.clone(), binds(201 * 432), None),
    ];
    let checkpoint = [
        ("id", with(&|b| b.ids[7] = 300)),
        ("position", with(&|b| b.positions[7] = 520)),
        ("type", with(&|b| b.types[7] = 2)),
    ]
    .map(|(name, batch)| (name, batch, last.clone(), CAPS, ErrorKind::Checkpoint));
    let cases = usage.into_iter().chain(checkpoint);
    let cases = cases.map(|(name, batch, exit, caps, want)| (name, batch, exit, caps, Some(want)));
    let limits = limits.into_iter().map(|(n, exit, caps, w)| (n, batch.clone(), exit, caps, w));
    let mut report = Report::new("refused");
    for (name, batch, exit, caps, want) in cases.chain(limits) {
        let got = record(&spec, &layout, &batch, &exit, &caps);
        let kind = got.as_ref().map_err(|e| e.kind()).err();
        report.check(kind == want, || format!("{name}: got {got:?}, want {want:?}"));
    }
    report.finish();
}

/// Three layers of many short texts made an array larger than a binding, and the driver's
/// validation said so in place of a sentence.
#[test]
fn pooled_vectors_that_no_binding_holds_are_refused() {
    let (spec, layout, _) = small();
    let batch = pack(&mut Rng::new(6), &spec, &[1; 100]);
    let exit = Exit { pool: pooled(&[PoolMode::Mean, PoolMode::Max]), ..states(0..=2) };
    let bytes = 3 * 2 * 100 * 32 * 4;
    let with = |max_binding| {
        record(&spec, &layout, &batch, &exit, &Caps { max_binding, ..CAPS }).map(|_| ())
    };
    with(bytes).unwrap();
    let e = with(bytes - 1).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Usage);
    assert!(e.to_string().contains("6 pooled vectors for each of 100 texts take 76800"), "{e}");
}

/// Whatever places a caller gives, the shaders read inside the tables that they index by them.
#[test]
fn places_stay_inside_the_tables_that_are_read_by_them() {
    for padding in [None, Some(1)] {
        let mut spec = SMALL.spec();
        let table = spec.embedding.position.as_mut().unwrap();
        table.padding = padding;
        let rows = table.rows;
        for block in &mut spec.blocks {
            block.attention.rope = Some(Rope::new(10_000.0, SMALL.head_dim));
        }
        let layout = Layout::new(&spec).unwrap();
        let mut rng = Rng::new(3);
        let (mut refused, mut written) = (0, 0);
        for round in 0..300 {
            let lengths = [1 + rng.below(40), 1 + rng.below(40), 1 + rng.below(200)];
            let mut batch = pack(&mut rng, &spec, &lengths);
            // Near the end of the table, beyond it, and never 0, by which a text's first token is known.
            let top = [spec.positions, spec.positions + 3, 40][round % 3];
            batch.positions.iter_mut().for_each(|place| *place = 1 + rng.below(top) as u32);
            let Ok(recording) = record(&spec, &layout, &batch, &states([2]), &CAPS) else {
                refused += 1;
                continue;
            };
            written += 1;
            let upload = |name: &str| {
                let found =
                    recording.uploads().iter().find(|(id, _)| recording.buffer(*id).name() == name);
                let (id, fill) = found.unwrap();
                let Fill::Words(words) = fill else { panic!("{name} is gathered") };
                (recording.buffer(*id).shape()[0], words)
            };
            let ((_, tokens), (turns, _)) = (upload("tokens"), upload("turns"));
            for token in tokens.chunks_exact(4) {
                assert!((token[1] as usize) < rows, "row {} of {rows}", token[1]);
                assert!((token[3] as usize) < turns, "place {} of {turns}", token[3]);
            }
        }
        assert!(refused > 20 && written > 20, "{refused} refused, {written} written");
    }
}

//! Several users of one device: what the device refuses one of them is told to that one alone, and
//! what is compiled for one is there for the others.

#![cfg(feature = "gpu")]

mod toy;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use everylayer::ErrorKind;
use everylayer::execute::Execute;
use everylayer::gpu::GpuExecutor;
use everylayer::gpu::device::{Gpu, GpuOptions, Pick};
use everylayer::kernels::{Combine, Elem, Merge};
use everylayer::schedule::{Exit, Recording, record};
use everylayer::testing::{Shelf, Single};
use toy::model::{SMALL, Toy, pack};
use toy::{Rng, run};

fn executor(toy: &Toy, gpu: &Arc<Gpu>) -> GpuExecutor {
    GpuExecutor::new(gpu.clone(), toy.layout.clone(), toy.held.clone(), Elem::F32).unwrap()
}

fn recording(toy: &Toy, executor: &dyn Execute, lengths: &[usize]) -> Recording {
    let batch = pack(&mut Rng::new(7), &toy.spec, lengths);
    let exit = Exit::states(vec![1, 2]);
    record(&toy.spec, &toy.layout, &batch, &exit, executor.caps()).unwrap()
}

/// A dispatch over an array whose memory no device has.
fn too_large() -> Recording {
    let mut single = Single::over(0);
    let [from, to] = [(); 2].map(|()| single.input(&[1.0; 4], 4));
    single.reserve(to, 1 << 44);
    single.dispatch(Combine(Merge::Max).over(4, 1.0, true), &[from, to]);
    single.read(to);
    single.finish()
}

/// One thread asked for memory that is not there, and the other was told so: the first fault of a
/// device went to whoever looked first.
#[test]
fn what_is_refused_one_thread_is_not_told_to_the_other() {
    let Some(gpu) = toy::gpu() else { return };
    let toy = SMALL.toy(1);
    let good = executor(&toy, &gpu);
    let work = recording(&toy, &good, &[60, 9]);
    let want = run(&good, &work).unwrap();
    let (layout, held) = Shelf::default().close();
    let greedy = GpuExecutor::new(gpu.clone(), layout, held, Elem::F32).unwrap();
    let (large, is_done) = (too_large(), AtomicBool::new(false));
    let refused = std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let mut refused = 0;
            while !is_done.load(Ordering::Relaxed) {
                let error = pollster::block_on(greedy.run(&large, &mut |_, _| Ok(()))).unwrap_err();
                assert!(
                    [ErrorKind::Gpu, ErrorKind::OutOfMemory].contains(&error.kind()),
                    "{error}"
                );
                assert!(greedy.reserve(&large).is_err());
                refused += 1;
            }
            refused
        });
        let right: Vec<_> = (0..50).map(|_| run(&good, &work)).collect();
        is_done.store(true, Ordering::Relaxed);
        let refused = asking.join().unwrap();
        for got in right {
            assert!(got.unwrap() == want);
        }
        refused
    });
    println!("50 runs beside {refused} that were refused");
    assert!(refused > 0);
}

#[test]
fn what_was_compiled_stays_with_the_device() {
    if toy::gpu().is_none() {
        return;
    }
    // A device of its own: what other tests compile counts as well.
    let gpu = pollster::block_on(Gpu::open(&Pick::Any, &GpuOptions::default()));
    let gpu = Arc::new(gpu.unwrap());
    let toy = SMALL.toy(2);
    let first = executor(&toy, &gpu);
    let before = first.counters().pipelines;
    let work = recording(&toy, &first, &[20]);
    let want = run(&first, &work).unwrap();
    let compiled = first.counters().pipelines;
    assert!(compiled > before, "nothing was compiled");
    drop(first);
    let second = executor(&toy, &gpu);
    assert!(run(&second, &recording(&toy, &second, &[20])).unwrap() == want);
    assert_eq!(second.counters().pipelines, compiled);
}

//! Splitting work, and choosing an instruction set.

use super::Threads;
use crate::parallel::each_chunk;
use crate::{Isa, Parallel, Sequential};

#[test]
fn every_chunk_is_computed_once() {
    for parallel in [&Sequential as &dyn Parallel, &Threads(3)] {
        for (length, chunk) in [(0, 3), (1, 3), (10, 1), (10, 3), (10, 0), (10, 40)] {
            let mut values = vec![0.0; length];
            each_chunk(parallel, &mut values, chunk, &|place, part| {
                for (at, value) in part.iter_mut().enumerate() {
                    *value += (place * chunk.max(1) + at) as f32 + 1.0;
                }
            });
            let expected: Vec<f32> = (1..=length).map(|at| at as f32).collect();
            assert_eq!(values, expected, "{length} by {chunk}");
        }
    }
}

#[test]
fn instruction_sets_are_those_of_the_machine() {
    let all = Isa::all();
    assert!(all.is_sorted() && all.contains(&Isa::in_use()));
    let problem = Isa::choose("sse9").unwrap_err().to_string();
    assert!(problem.contains("`sse9`") && problem.contains(&Isa::names()));
    Isa::choose(Isa::in_use().name()).unwrap();
}

/// What the kernel says of the processor is found: tests over [`Isa::all`] would pass
/// with the portable kernels alone.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
#[test]
fn every_instruction_set_of_the_processor_is_tested() {
    let processor = std::fs::read_to_string("/proc/cpuinfo").unwrap();
    let flags = processor.lines().find(|line| line.starts_with("flags"));
    let flags: Vec<&str> = flags.unwrap().split_whitespace().collect();
    let found: Vec<&str> = Isa::all().into_iter().map(Isa::name).collect();
    for (name, needs) in [
        ("avx2", &["avx2", "fma", "f16c"][..]),
        ("avx512", &["avx512f"]),
    ] {
        let has = needs.iter().all(|it| flags.contains(it));
        assert_eq!(found.contains(&name), has, "{name}");
    }
}

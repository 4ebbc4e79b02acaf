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

//! Lifetimes: which buffers may share one piece of memory.
//!
//! Linear scan over the steps of a recording (Poletto and Sarkar 1999, for registers): a buffer
//! takes the smallest free piece that fits, else grows the largest free one, else adds one. No
//! device is involved, so the memory of a run is known before it.

/// When a buffer is written first and read last, as step numbers, and how large it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetime {
    /// First step that touches it.
    pub first: usize,
    /// Last step that touches it.
    pub last: usize,
    /// Bytes.
    pub bytes: u64,
}

/// Gives each lifetime a slot; two that overlap in time never share one. Returns the slot of each
/// and the size of each slot.
pub fn assign(lifetimes: &[Lifetime]) -> (Vec<usize>, Vec<u64>) {
    let mut order: Vec<usize> = (0..lifetimes.len()).collect();
    order.sort_by_key(|&i| (lifetimes[i].first, i));
    let mut slots: Vec<u64> = Vec::new();
    let mut busy_until: Vec<usize> = Vec::new();
    let mut of = vec![0; lifetimes.len()];
    for i in order {
        let life = lifetimes[i];
        let free = || (0..slots.len()).filter(|&s| busy_until[s] < life.first);
        let fits = free().filter(|&s| slots[s] >= life.bytes).min_by_key(|&s| slots[s]);
        let slot = match fits.or_else(|| free().max_by_key(|&s| slots[s])) {
            Some(slot) => {
                slots[slot] = slots[slot].max(life.bytes);
                busy_until[slot] = life.last;
                slot
            }
            None => {
                slots.push(life.bytes);
                busy_until.push(life.last);
                slots.len() - 1
            }
        };
        of[i] = slot;
    }
    (of, slots)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn buffers_alive_together_never_share(
            lives in prop::collection::vec((0usize..50, 0usize..20, 1u64..1000), 0..60)
        ) {
            let lives: Vec<_> = lives
                .into_iter()
                .map(|(first, length, bytes)| Lifetime { first, last: first + length, bytes })
                .collect();
            let (of, slots) = assign(&lives);
            for (i, a) in lives.iter().enumerate() {
                prop_assert!(slots[of[i]] >= a.bytes);
                for (j, b) in lives.iter().enumerate().take(i) {
                    let apart = a.last < b.first || b.last < a.first;
                    prop_assert!(apart || of[i] != of[j], "{i} and {j} share slot {}", of[i]);
                }
            }
        }
    }

    #[test]
    fn a_chain_takes_two_slots() {
        let lives: Vec<_> = (0..9).map(|i| Lifetime { first: i, last: i + 1, bytes: 8 }).collect();
        assert_eq!(assign(&lives).1, vec![8, 8]);
    }
}

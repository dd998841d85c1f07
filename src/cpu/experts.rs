//! `route` and `expert` on the CPU: a mixture of experts in the arrays of the shaders.

use super::product::{Packed, product_parallel};
use crate::kernels::{ExpertParams, RouteParams};
use crate::math::activation::{Activation, activate};

/// Which tokens go through which expert: the number of slots of each, then its slots, then the shares
/// of all slots (`shaders/route.wgsl`); `logits` is (tokens, line).
pub fn route(p: &RouteParams, logits: &[f32], routes: &mut [f32]) {
    let (tokens, experts) = (p.tokens as usize, p.experts as usize);
    let (lists, shares) = (experts, experts * (1 + tokens));
    let mut counts = vec![0; experts];
    for (token, logits) in logits.chunks_exact(p.line as usize).take(tokens).enumerate() {
        let logits = &logits[..experts];
        let largest = logits.iter().fold(logits[0], |m, x| m.max(*x));
        let sum: f64 = logits.iter().map(|x| f64::from(x - largest).exp()).sum();
        let above = |own: usize| {
            let is_above = |(other, value): &(usize, &f32)| {
                **value > logits[own] || (**value == logits[own] && *other < own)
            };
            logits.iter().enumerate().filter(is_above).count()
        };
        let chosen = (0..experts).filter(|&e| above(e) < p.chosen as usize);
        for (j, expert) in chosen.take(p.chosen as usize).enumerate() {
            let slot = j * tokens + token;
            let share = (f64::from(logits[expert] - largest).exp() / sum) as f32;
            routes[lists + expert * tokens + counts[expert]] = slot as f32;
            routes[shares + slot] = share;
            counts[expert] += 1;
        }
    }
    routes.iter_mut().zip(counts).for_each(|(to, count)| *to = count as f32);
}

/// Row s of C = act(row s % a_rows of A times Wᵀ), times its share where `shared`, for each slot s of
/// the expert's list.
pub fn expert(
    p: &ExpertParams,
    activation: Activation,
    shared: bool,
    a: &[f32],
    w: &Packed,
    routes: &[f32],
    c: &mut [f32],
) {
    let (tokens, experts) = (p.tokens as usize, p.experts as usize);
    let (n, k) = (4 * p.n4 as usize, 4 * p.k4 as usize);
    let count = routes[p.expert as usize] as usize;
    let list = &routes[experts + p.expert as usize * tokens..][..count];
    let list: Vec<usize> = list.iter().map(|slot| *slot as usize).collect();
    let shares = &routes[experts * (1 + tokens)..];
    let row = |slot: &usize| slot % p.a_rows as usize * k;
    let rows: Vec<f32> =
        list.iter().flat_map(|slot| &a[row(slot)..row(slot) + k]).copied().collect();
    let mut results = vec![0.0; count * n];
    product_parallel(&rows, count, w, &mut results, |_, _, c| activate(c, activation));
    for (&slot, result) in list.iter().zip(results.chunks_exact(n)) {
        let share = if shared { shares[slot] } else { 1.0 };
        let to = &mut c[slot * n..][..n];
        to.iter_mut().zip(result).for_each(|(c, x)| *c = x * share);
    }
}

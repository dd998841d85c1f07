// Which tokens go through which expert, one workgroup an expert. A token takes the `chosen` experts
// with the largest logits, the lower one of two equals; its j-th in the order of experts has slot
// j tokens + token. The share of a slot is softmax over all logits, not made to sum up to 1.
//
// `routes` holds the number of slots of each expert; for each expert its slots in the order of
// tokens, room for one a token; the shares of all slots. All are f32, which holds them exactly. What
// lies behind an expert's last slot is left as it was.

struct RouteParams {
    tokens: u32,
    experts: u32,
    line: u32,
    chosen: u32,
}

@group(0) @binding(0) var<uniform> params: RouteParams;
@group(0) @binding(1) var<storage, read> logits: array<f32>; // (tokens, line)
@group(0) @binding(2) var<storage, read_write> routes: array<f32>;

const LANES = 256u;
const NONE = 0xffffffffu;

var<workgroup> taken: array<atomic<u32>, 8>; // a bit a lane

/// Whether `expert` is among those of the token whose logits start at `row`.
fn is_chosen(row: u32, expert: u32) -> bool {
    let own = logits[row + expert];
    var above = 0u;
    for (var other = 0u; other < params.experts; other++) {
        let value = logits[row + other];
        if value > own || (value == own && other < expert) {
            above++;
        }
    }
    return above < params.chosen;
}

/// exp(own - largest) / Σ exp(other - largest)
fn share_of(row: u32, expert: u32) -> f32 {
    var largest = logits[row];
    for (var other = 1u; other < params.experts; other++) {
        largest = max(largest, logits[row + other]);
    }
    var sum = 0.0;
    for (var other = 0u; other < params.experts; other++) {
        sum += exp(logits[row + other] - largest);
    }
    return exp(logits[row + expert] - largest) / sum;
}

/// The slot of `token` for `expert`, NONE where it is not chosen.
fn slot_of(token: u32, expert: u32) -> u32 {
    if token >= params.tokens {
        return NONE;
    }
    let row = token * params.line;
    if !is_chosen(row, expert) {
        return NONE;
    }
    var before = 0u;
    for (var other = 0u; other < expert; other++) {
        before += u32(is_chosen(row, other));
    }
    // NaN compares with nothing, and no number of experts may pass `chosen`.
    return select(NONE, before * params.tokens + token, before < params.chosen);
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let expert = group.x;
    let list = params.experts + expert * params.tokens;
    let shares = params.experts * (1u + params.tokens);
    var count = 0u;
    for (var first = 0u; first < params.tokens; first += LANES) {
        if lane < 8u {
            atomicStore(&taken[lane], 0u);
        }
        workgroupBarrier();
        let slot = slot_of(first + lane, expert);
        if slot != NONE {
            atomicOr(&taken[lane / 32u], 1u << (lane % 32u));
        }
        workgroupBarrier();
        // Slots of the lanes in front come first.
        var before = 0u;
        var all = 0u;
        for (var word = 0u; word < 8u; word++) {
            let bits = atomicLoad(&taken[word]);
            let own = word == lane / 32u;
            let in_front = select(select(0u, bits, word < lane / 32u), bits & ((1u << (lane % 32u)) - 1u), own);
            before += countOneBits(in_front);
            all += countOneBits(bits);
        }
        if slot != NONE {
            routes[list + count + before] = f32(slot);
            routes[shares + slot] = share_of((first + lane) * params.line, expert);
        }
        count += all;
        workgroupBarrier();
    }
    if lane == 0u {
        routes[expert] = f32(count);
    }
}

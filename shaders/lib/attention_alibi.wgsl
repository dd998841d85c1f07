// ALiBi (Press et al. 2022), both ways: slope x |query - key| is taken off; scores are in base 2.
@group(0) @binding(4) var<storage, read> slopes: array<f32>; // (heads)

var<private> slope: f32;

fn begin(head: u32) {
    slope = slopes[head] * 1.4426950408889634;
}

fn adjust(s: vec4<f32>, query: u32, key: u32) -> vec4<f32> {
    let keys = vec4<i32>(i32(key)) + vec4<i32>(0, 1, 2, 3);
    return s - slope * vec4<f32>(abs(keys - vec4<i32>(i32(query))));
}

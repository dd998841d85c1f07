// y = γ (x - mean) / √(var + ε) + β over each row, one workgroup a row.

struct NormParams {
    rows: u32,
    stride4: u32,
    width: u32,
    eps: f32,
    state: u32,
    parts: u32,
}

@group(0) @binding(0) var<uniform> params: NormParams;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>; // (rows, stride4)
@group(0) @binding(2) var<storage, read> weight: array<vec4<f32>>; // (2, stride4): γ, β
@group(0) @binding(3) var<storage, read_write> y: array<vec4<f32>>; // (rows, stride4)
@group(0) @binding(4) var<storage, read_write> status: array<atomic<u32>>; // (rows / 32 + states)

fn put_row(at: u32, value: vec4<f32>) {
    y[at] = value;
}

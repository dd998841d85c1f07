// What every variant of the product reads and writes. C = activate(A Wᵀ + b) (+ residual).

struct MatmulParams {
    m: u32,
    n4: u32,
    k4: u32,
    k_steps: u32,
    first_row: u32,
}

@group(0) @binding(0) var<uniform> params: MatmulParams;
@group(0) @binding(1) var<storage, read> a: array<In4>; // (m, k4)
@group(0) @binding(2) var<storage, read> w: array<Packed4>; // (n / 64, k, 16)
@group(0) @binding(3) var<storage, read> bias: array<vec4<f32>>; // (n4)
@group(0) @binding(4) var<storage, read_write> c: array<Out4>; // (m, n4)

// The product in front has added its bias, the residual is added here: on software Vulkan, where a
// kernel is compiled by the length of its text, one product fewer to compile.
@group(0) @binding(5) var<storage, read> residual: array<vec4<f32>>; // (rows, stride4)

fn row_at(row: u32, i: u32) -> vec4<f32> {
    let at = row * params.stride4 + i;
    return x[at] + residual[at];
}

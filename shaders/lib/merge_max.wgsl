fn merge(largest: vec4<f32>, value: vec4<f32>) -> vec4<f32> {
    return max(largest, value);
}

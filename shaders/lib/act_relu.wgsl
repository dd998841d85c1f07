// max(x, 0), but NaN stays NaN: `max` may take the other number, and the flag of the next
// normalisation would never be set.
fn activate(x: vec4<f32>) -> vec4<f32> {
    return select(x, vec4<f32>(0.0), x < vec4<f32>(0.0));
}

// GELU with the error function, x/2 (1 + erf(x/√2)) = max(x, 0) - |x|/2 erfc(|x|/√2).
//
// erfc(z) = t exp(P(t) - z²), t = 1 / (1 + z/2): the form of Abramowitz and Stegun 7.1.26 with a
// polynomial of degree 8 fitted by shaders/fit/erfc.py; 1.2e-7 from the exact value in f32, which
// is half the rounding of the result. No branch, no cancellation on either side of 0.
fn activate(x: vec4<f32>) -> vec4<f32> {
    let magnitude = abs(x);
    let z = 0.70710678 * magnitude;
    let t = 1.0 / (1.0 + 0.5 * z);
    var p = vec4<f32>(0.0980122313);
    p = fma(p, t, vec4<f32>(-0.648861706));
    p = fma(p, t, vec4<f32>(1.66696656));
    p = fma(p, t, vec4<f32>(-1.99860764));
    p = fma(p, t, vec4<f32>(0.999495804));
    p = fma(p, t, vec4<f32>(-0.297276169));
    p = fma(p, t, vec4<f32>(0.454409927));
    p = fma(p, t, vec4<f32>(0.990939617));
    p = fma(p, t, vec4<f32>(-1.26507866));
    return max(x, vec4<f32>(0.0)) - 0.5 * magnitude * t * exp(p - z * z);
}

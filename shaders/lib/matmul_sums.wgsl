// A block of C in registers: TALL rows of WIDE vectors.
struct Sums {
//: for i in 0..TALL
//:   for j in 0..WIDE
    c${i}_${j}: vec4<f32>,
//:   end
//: end
}

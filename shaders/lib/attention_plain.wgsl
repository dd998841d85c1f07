// No bias: the scores as they are. `query` and `key` are places in the text, `key` that of s.x.
fn begin(head: u32) {}

fn adjust(s: vec4<f32>, query: u32, key: u32) -> vec4<f32> {
    return s;
}

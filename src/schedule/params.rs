//! The uniform block of each kernel: `#[repr(C)]` twins of the WGSL structs, held equal by a test
//! that reflects the shaders (`tests/shaders.rs`).
//!
//! Sizes are in vectors of four numbers where a name ends in 4, else in what the comment says.

use bytemuck::{Pod, Zeroable};

/// `shaders/norm.wgsl`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
pub struct NormParams {
    /// Tokens.
    pub rows: u32,
    /// Vectors in a row.
    pub stride4: u32,
    /// Numbers in a row, padding left out.
    pub width: u32,
    /// ε.
    pub eps: f32,
    /// State whose flag is set where a number is not finite.
    pub state: u32,
    /// Arrays of rows that are added up, where what is read is in parts; 1 else.
    pub parts: u32,
    /// Unused.
    pub pad: [u32; 2],
}

impl NormParams {
    /// Of `rows` rows of `width` numbers, `stride` apart, whose flag is that of `state`.
    pub fn new(rows: usize, stride: usize, width: usize, eps: f32, state: usize) -> Self {
        Self {
            rows: rows as u32,
            stride4: (stride / 4) as u32,
            width: width as u32,
            eps,
            state: state as u32,
            parts: 1,
            pad: [0; 2],
        }
    }

    /// Whose rows are the sums of those of `parts` arrays.
    pub fn of_parts(self, parts: usize) -> Self {
        Self { parts: parts as u32, ..self }
    }
}

/// `shaders/embed.wgsl`: its rows are normalised as those of `norm`.
pub type EmbedParams = NormParams;

/// `shaders/matmul.wgsl`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
pub struct MatmulParams {
    /// Rows of A and C.
    pub m: u32,
    /// Vectors in a row of C.
    pub n4: u32,
    /// Vectors in a row of A.
    pub k4: u32,
    /// Steps of the K tile, the last one padded with zeros.
    pub k_steps: u32,
}

/// `shaders/attention.wgsl`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
pub struct AttentionParams {
    /// Vectors in a row of queries, keys and values together.
    pub qkv4: u32,
    /// Vectors in a row of the result: heads × head stride.
    pub out4: u32,
    /// log₂(e) / √head_dim.
    pub scale: f32,
    /// Vectors from a key to its value: kv_heads × head stride.
    pub kv4: u32,
    /// Heads of queries that share one of keys and values.
    pub group: u32,
    /// How far a window reaches, or a table of distances.
    pub reach: u32,
    /// Numbers in a row of a table of distances.
    pub line: u32,
    /// Of the heads that this dispatch works on; how many they are is its grid's second number.
    pub first_head: u32,
}

/// `shaders/rope.wgsl`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
pub struct RopeParams {
    /// Pairs to turn: tokens × heads of queries and keys × half.
    pub pairs: u32,
    /// Pairs a row of workgroups covers.
    pub row: u32,
    /// Heads of queries and keys.
    pub heads: u32,
    /// Pairs in a head.
    pub half: u32,
    /// Numbers between two heads.
    pub head_dim: u32,
    /// Numbers in a row of queries, keys and values together.
    pub stride: u32,
    /// Unused.
    pub pad: [u32; 2],
}

/// `shaders/gate.wgsl`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
pub struct GateParams {
    /// Vectors in the result.
    pub vectors: u32,
    /// Vectors a row of workgroups covers.
    pub row: u32,
    /// Vectors in a row of the result.
    pub inner4: u32,
    /// Unused.
    pub pad: u32,
}

/// `shaders/im2col.wgsl`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
pub struct Im2colParams {
    /// Vectors in the result.
    pub vectors: u32,
    /// Vectors a row of workgroups covers.
    pub row: u32,
    /// Vectors in a row of a state.
    pub stride4: u32,
    /// Neighbours of a token, itself among them.
    pub taps: u32,
}

/// `shaders/qk_norm.wgsl`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
pub struct QkNormParams {
    /// Vectors in a row of queries, keys and values together.
    pub qkv4: u32,
    /// Vectors in a row of queries.
    pub joined4: u32,
    /// Vectors from a head to the next.
    pub head4: u32,
    /// Numbers in a head, padding left out.
    pub head_dim: u32,
    /// Numbers in a row of queries, padding left out.
    pub width: u32,
    /// ε.
    pub eps: f32,
    /// Tokens.
    pub rows: u32,
    /// Unused.
    pub pad: u32,
}

/// `shaders/route.wgsl`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
pub struct RouteParams {
    /// Tokens.
    pub tokens: u32,
    /// Experts.
    pub experts: u32,
    /// Numbers in a row of logits.
    pub line: u32,
    /// Experts a token goes through.
    pub chosen: u32,
}

/// `shaders/expert.wgsl`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
pub struct ExpertParams {
    /// Tokens.
    pub tokens: u32,
    /// Experts.
    pub experts: u32,
    /// Which one this is.
    pub expert: u32,
    /// Rows of A: the tokens, or all slots.
    pub a_rows: u32,
    /// Vectors in a row of C.
    pub n4: u32,
    /// Vectors in a row of A.
    pub k4: u32,
    /// Steps of the K tile that W is padded to.
    pub k_steps: u32,
    /// Unused.
    pub pad: u32,
}

/// `shaders/combine.wgsl`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
pub struct CombineParams {
    /// Vectors in the whole array.
    pub vectors: u32,
    /// Vectors a row of workgroups covers, since a dispatch is at most 65,535 wide.
    pub row: u32,
    /// What the state is multiplied with.
    pub factor: f32,
    /// 1 where the sum starts with this state.
    pub first: u32,
}

/// `shaders/pool.wgsl`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
pub struct PoolParams {
    /// Vectors in a row of the state.
    pub stride4: u32,
    /// Vectors in a row of the result.
    pub out4: u32,
    /// First vector of the result.
    pub start4: u32,
    /// Unused.
    pub pad: u32,
}

/// The uniform block of one dispatch.
#[derive(Debug, Clone, Copy, PartialEq)]
#[expect(missing_docs, reason = "one variant a kernel, named like it")]
pub enum Params {
    Embed(EmbedParams),
    Norm(NormParams),
    Matmul(MatmulParams),
    Attention(AttentionParams),
    Rope(RopeParams),
    Gate(GateParams),
    Im2col(Im2colParams),
    QkNorm(QkNormParams),
    Route(RouteParams),
    Expert(ExpertParams),
    Combine(CombineParams),
    Pool(PoolParams),
}

impl Params {
    /// The bytes the shader reads.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Embed(p) => bytemuck::bytes_of(p),
            Self::Norm(p) => bytemuck::bytes_of(p),
            Self::Matmul(p) => bytemuck::bytes_of(p),
            Self::Attention(p) => bytemuck::bytes_of(p),
            Self::Rope(p) => bytemuck::bytes_of(p),
            Self::Gate(p) => bytemuck::bytes_of(p),
            Self::Im2col(p) => bytemuck::bytes_of(p),
            Self::QkNorm(p) => bytemuck::bytes_of(p),
            Self::Route(p) => bytemuck::bytes_of(p),
            Self::Expert(p) => bytemuck::bytes_of(p),
            Self::Combine(p) => bytemuck::bytes_of(p),
            Self::Pool(p) => bytemuck::bytes_of(p),
        }
    }
}

//! Every combination that no code computes, by name.

use super::*;
use crate::error::ErrorKind;
use crate::model::layout::Layout;
use crate::model::spec::{Embedding, Rope};

fn attention() -> Attention {
    let linear = Linear::new;
    Attention {
        query: linear("q"),
        key: linear("k"),
        value: linear("v"),
        output: linear("o"),
        ..Attention::default()
    }
}

/// A model of three blocks, post-norm or pre-norm.
fn model(order: Order) -> Spec {
    let block = |_| Block {
        order,
        attention: attention(),
        attention_norm: Some(Norm::layer("n1", 1e-5)),
        up: Linear::new("up"),
        down: Linear::new("down"),
        output_norm: Norm::layer("n2", 1e-5),
        ..Block::default()
    };
    Spec {
        family: "toy",
        vocab: 50,
        positions: 40,
        types: 1,
        width: 12,
        heads: 2,
        kv_heads: 2,
        head_dim: 6,
        inner: 20,
        embedding: Embedding {
            word: vec!["word".into()],
            position: None,
            token_type: None,
            norm: Norm::layer("n", 1e-5),
            width: 12,
            projection: None,
            projected_norm: None,
        },
        blocks: (0..3).map(block).collect(),
        final_norm: (order == Order::Pre).then(|| Norm::layer("last", 1e-5)),
        pooler: None,
    }
}

fn convolution() -> Option<Convolution> {
    let product = Linear::new("conv");
    let norm = Norm::layer("cn", 1e-5);
    Some(Convolution { product, taps: 3, activation: Default::default(), norm })
}

/// Turns the feed-forward layer of `block` into experts.
fn into_experts(block: &mut Block) {
    block.up = Linear::unbiased("up").rows(0, 4 * 20);
    block.down = Linear { transposed: true, ..Linear::new("down").rows(0, 4 * 20) };
    block.experts = Some(Experts { router: Linear::unbiased("r"), count: 4, chosen: 2 });
}

fn positions(table: &str) -> Bias {
    Bias::Disentangled(Box::new(Disentangled {
        table: table.into(),
        norm: Norm::none(),
        span: 4,
        rows: [0, 1, 2, 3, 4].into(),
        query: None,
        key: Some(Linear::new("pos_key")),
    }))
}

#[test]
fn what_is_computed_passes() {
    type Edit = fn(&mut Spec);
    let post = |edit: Edit| (Order::Post, edit);
    let pre = |edit: Edit| (Order::Pre, edit);
    let edits: [(Order, Edit); 9] = [
        post(|_| {}),
        pre(|_| {}),
        pre(|s| s.blocks[0].attention_norm = None),
        post(|s| s.blocks[0].convolution = convolution()),
        post(|s| into_experts(&mut s.blocks[1])),
        post(|s| s.blocks[1].second_norm = Some(Norm::rms("n3", 1e-5))),
        post(|s| s.kv_heads = 1),
        post(|s| s.blocks.iter_mut().for_each(|b| b.attention.bias = positions("p"))),
        pre(|s| s.blocks[2].attention.rope = Some(Rope::new(1e4, 6))),
    ];
    for (i, (order, edit)) in edits.into_iter().enumerate() {
        let mut spec = model(order);
        edit(&mut spec);
        spec.validate().unwrap_or_else(|e| panic!("{i}: {e}"));
    }
}

#[test]
fn what_no_branch_reads_is_refused_by_name() {
    use Order::{Post, Pre};
    type Case = (&'static str, Order, fn(&mut Spec));
    let cases: [Case; 37] = [
        ("a convolution in a pre-norm block", Pre, |s| s.blocks[0].convolution = convolution()),
        ("a mixture of experts in a pre-norm block", Pre, |s| into_experts(&mut s.blocks[0])),
        ("a second norm in a pre-norm block", Pre, |s| {
            s.blocks[0].second_norm = Some(Norm::rms("n3", 1e-5));
        }),
        ("a convolution beside a mixture of experts", Post, |s| {
            into_experts(&mut s.blocks[0]);
            s.blocks[0].convolution = convolution();
        }),
        ("a gate in a mixture of experts", Post, |s| {
            into_experts(&mut s.blocks[0]);
            s.blocks[0].gate = Some(Linear::new("gate"));
        }),
        ("a bias of the up products", Post, |s| {
            into_experts(&mut s.blocks[0]);
            s.blocks[0].up.bias = Some(vec!["b".into()]);
        }),
        ("do not lie in one tensor", Post, |s| {
            into_experts(&mut s.blocks[0]);
            s.blocks[0].up = Linear::unbiased("up").rows(0, 3 * 20);
        }),
        ("0 of 4 experts", Post, |s| {
            into_experts(&mut s.blocks[0]);
            s.blocks[0].experts.as_mut().unwrap().chosen = 0;
        }),
        ("grouped heads", Post, |s| {
            s.kv_heads = 1;
            let norms = ["qn", "kn"].map(|name| Norm::layer(name, 1e-5));
            s.blocks[0].attention.query_key_norms = Some(norms);
        }),
        ("no layer norm", Post, |s| {
            let norms = ["qn", "kn"].map(|name| Norm::rms(name, 1e-5));
            s.blocks[0].attention.query_key_norms = Some(norms);
        }),
        ("two epsilons", Post, |s| {
            let norms = [Norm::layer("qn", 1e-5), Norm::layer("kn", 1e-6)];
            s.blocks[0].attention.query_key_norms = Some(norms);
        }),
        ("disentangled attention with grouped heads", Post, |s| {
            s.kv_heads = 1;
            s.blocks[0].attention.bias = positions("p");
        }),
        ("relative positions of its own", Post, |s| {
            s.blocks[0].attention.bias = positions("p");
            s.blocks[1].attention.bias = positions("q");
        }),
        ("in row 9 of 8", Post, |s| {
            let Bias::Disentangled(mut p) = positions("p") else { return };
            p.rows = [0, 9, 1].into();
            s.blocks[0].attention.bias = Bias::Disentangled(p);
        }),
        ("in row 5 of 5", Post, |s| {
            let rows = [0, 5, 1].into();
            s.blocks[0].attention.bias = Bias::Relative { table: "r".into(), buckets: 5, rows };
        }),
        ("of 2 distances", Post, |s| {
            let rows = [0, 1].into();
            s.blocks[0].attention.bias = Bias::Relative { table: "r".into(), buckets: 5, rows };
        }),
        ("3 ALiBi slopes for 2 heads", Post, |s| {
            s.blocks[0].attention.bias = Bias::Alibi([1.0; 3].into());
        }),
        ("a window that reaches", Post, |s| {
            s.blocks[0].attention.bias = Bias::Window(usize::MAX);
        }),
        ("4 rotary angles for heads of 6", Post, |s| {
            s.blocks[0].attention.rope = Some(Rope::new(1e4, 8));
        }),
        ("no attention norm", Post, |s| s.blocks[0].attention_norm = None),
        ("no attention norm", Pre, |s| s.blocks[1].attention_norm = None),
        ("pre-norm and post-norm", Pre, |s| s.blocks[1].order = Post),
        ("a final norm that no pre-norm block precedes", Post, |s| {
            s.final_norm = Some(Norm::layer("last", 1e-5));
        }),
        ("without a final norm", Pre, |s| s.final_norm = None),
        ("no projection", Post, |s| {
            s.embedding.projected_norm = Some(Norm::layer("pn", 1e-5));
        }),
        ("without a projection", Post, |s| s.embedding.width = 8),
        ("is none, and has weights", Post, |s| {
            s.embedding.norm = Norm { kind: NormKind::None, ..Norm::layer("n", 1e-5) };
        }),
        ("the output norm has no weights", Post, |s| {
            s.blocks[2].output_norm = Norm::default();
        }),
        ("an epsilon of NaN", Post, |s| s.blocks[2].output_norm.eps = f32::NAN),
        ("the gate has no tensor", Post, |s| s.blocks[2].gate = Some(Linear::default())),
        ("over 2 tokens", Post, |s| {
            s.blocks[0].convolution = convolution();
            s.blocks[0].convolution.as_mut().unwrap().taps = 2;
        }),
        ("3 heads share 2 of keys", Post, |s| s.heads = 3),
        ("kv_heads is 0", Post, |s| s.kv_heads = 0),
        ("width is 0", Post, |s| s.width = 0),
        ("inner is", Post, |s| s.inner = usize::MAX),
        ("counts from 5", Post, |s| {
            s.embedding.position = Some(crate::model::spec::Positions {
                table: "p".into(),
                rows: 5,
                padding: Some(4),
            });
        }),
        ("has rows from 10 on of a tensor of 12", Post, |s| {
            s.blocks[0].attention.query = Linear::new("q").rows(10, 12);
        }),
    ];
    for (said, order, edit) in cases {
        let mut spec = model(order);
        edit(&mut spec);
        let error = spec.validate().expect_err(said);
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
        assert!(error.to_string().contains(said), "{said}: {error}");
        assert!(Layout::new(&spec).is_err(), "{said}");
    }
}

use super::*;
use crate::error::ErrorKind;

fn call(rows: Rows, layer_axis: usize, width: usize, texts: &[(usize, &[f32])]) -> Embeddings {
    let header = Header {
        model: "m".into(),
        device: "cpu".into(),
        dtype: "f32".into(),
        site: Site::Hidden,
        heads: None,
        final_norm: true,
        layers: (0..layer_axis).collect(),
        combine: Combine::Stack,
        pool: if rows == Rows::Tokens { Pool::Tokens } else { Pool::Mean },
        rows,
        layer_axis,
        width,
        precision: Precision::F32,
    };
    let text = |(index, (rows, values)): (usize, &(usize, &[f32]))| TextEmbedding {
        index,
        text_tokens: 3,
        lost: index,
        rows: *rows,
        values: Values::F32(values.to_vec()),
        tokens: Vec::new(),
        words: Vec::new(),
    };
    Embeddings::new(header, texts.iter().enumerate().map(text).collect())
}

#[test]
fn views() {
    let all = call(
        Rows::Tokens,
        2,
        2,
        &[(2, &[1., 2., 3., 4., 5., 6., 7., 8.]), (1, &[9., 10., 11., 12.]), (0, &[])],
    );
    assert_eq!(all.vector(0, 0, 1), Some([3., 4.].as_slice()));
    assert_eq!(all.vector(0, 1, 0), Some([5., 6.].as_slice()));
    assert_eq!(all.vector(1, 1, 0), Some([11., 12.].as_slice()));
    // A row beyond the text is not the first of the next layer.
    for (text, layer, row) in
        [(0, 0, 2), (1, 0, 1), (0, 2, 0), (3, 0, 0), (2, 0, 0), (0, usize::MAX, 1)]
    {
        assert_eq!(all.vector(text, layer, row), None, "{text} {layer} {row}");
    }
    assert_eq!((all.truncated(), all.lost()), (2, 3));
    assert_eq!(all.to_vec(), (1..=12).map(|x| x as f32).collect::<Vec<_>>());
    assert_eq!(Embeddings::new(all.header().clone(), all.texts.clone()), all);
}

#[test]
fn int8_calibrates_each_layer_on_all_texts() {
    // Layer 0 holds (0, 5), (255, 5), (128, 5); layer 1 the same times ten.
    let all = call(
        Rows::Tokens,
        2,
        2,
        &[(2, &[0., 5., 255., 5., 0., 50., 2550., 50.]), (0, &[]), (1, &[128., 5., 1280., 50.])],
    );
    let all = all.quantize(Precision::Int8).unwrap();
    assert_eq!(all.texts[0].values, Values::I8(vec![-128, -128, 127, -128, -128, -128, 127, -128]));
    assert_eq!(all.texts[1].values, Values::I8(vec![]));
    assert_eq!(all.texts[2].values, Values::I8(vec![0, -128, 0, -128]));
    assert_eq!((all.width, all.precision), (2, Precision::Int8));
    let int8: Vec<_> = all.int8.iter().map(|range| (range.starts(), range.steps())).collect();
    assert_eq!(int8, [(&[0., 5.][..], &[1., 1.][..]), (&[0., 50.], &[10., 1.])]);
    assert_eq!(all.vector(0, 0, 0), None);
    assert_eq!(all.slice(2, 1, 0), Some(Slice::I8(&[0, -128])));
    assert_eq!(all.slice(2, 1, 0).unwrap().to_f32(), [0., -128.].as_slice());
    assert_eq!(all.quantize(Precision::F16).unwrap_err().kind(), ErrorKind::Usage);
}

#[test]
fn int8_of_one_vector_is_refused_and_of_none_is_none() {
    let one = call(Rows::Texts, 1, 2, &[(1, &[1., 2.])]);
    assert_eq!(one.quantize(Precision::Int8).unwrap_err().kind(), ErrorKind::Usage);
    let none = call(Rows::Tokens, 1, 2, &[(0, &[])]).quantize(Precision::Int8).unwrap();
    assert_eq!(none.texts[0].values, Values::I8(vec![]));
    assert!(call(Rows::Texts, 1, 2, &[]).quantize(Precision::Int8).is_ok());
}

#[test]
fn ubinary_packs_each_row_and_f16_names_the_text() {
    let row = [1., -1., 0., 1., 0., 0., 0., 1., 1., -2.];
    let rows = [row, row.map(|x| -x)].concat();
    let all = call(Rows::Tokens, 1, 10, &[(2, &rows)]).quantize(Precision::Ubinary).unwrap();
    assert_eq!(
        all.texts[0].values,
        Values::U8(vec![0b1001_0001, 0b1000_0000, 0b0100_0000, 0b0100_0000])
    );
    assert_eq!(all.width, 2);
    assert_eq!(all.slice(0, 0, 1), Some(Slice::U8(&[0b0100_0000, 0b0100_0000])));

    let big =
        call(Rows::Texts, 1, 1, &[(1, &[1.]), (1, &[7e4])]).quantize(Precision::F16).unwrap_err();
    assert_eq!(big.kind(), ErrorKind::NotFinite);
    assert!(big.to_string().starts_with("text 1: 70000"), "{big}");
}

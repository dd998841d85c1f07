use super::*;
use crate::capture::{Pool, Precision, WordPool};
use crate::error::ErrorKind;
use crate::output::tests::{header, text, written};
use crate::output::{Format, start_text};

#[test]
fn json_to_the_letter() {
    const START: &str = r#"{"model":"bundled:mini","device":"cpu","dtype":"f32","layers":"#;
    let cases: &[(Pool, &[usize], &[usize], &str)] = &[
        (
            Pool::Mean,
            &[12],
            &[1, 1],
            r#"[12],"combine":"stack","pool":"mean","width":2,"truncated":1,"tokens_lost":1,"results":[
{"index":0,"text_tokens":3,"vectors":[0.0,0.25]},
{"index":1,"text_tokens":3,"tokens_lost":1,"vectors":[25.0,25.25]}
]}
"#,
        ),
        (
            Pool::Mean,
            &[0, 1],
            &[1],
            r#"[0,1],"combine":"stack","pool":"mean","width":2,"truncated":0,"tokens_lost":0,"results":[
{"index":0,"text_tokens":3,"vectors":[[0.0,0.25],[0.5,0.75]]}
]}
"#,
        ),
        (
            Pool::Tokens,
            &[12],
            &[1, 2],
            r#"[12],"combine":"stack","pool":"tokens","width":2,"truncated":1,"tokens_lost":1,"results":[
{"index":0,"text_tokens":3,"vectors":[[0.0,0.25]],"tokens":[{"text":"t0","id":100,"start":0,"end":1,"word":null}]},
{"index":1,"text_tokens":4,"tokens_lost":1,"vectors":[[25.0,25.25],[25.5,25.75]],"tokens":[{"text":"t0","id":100,"start":0,"end":1,"word":null},{"text":"t1","id":101,"start":1,"end":2,"word":0}]}
]}
"#,
        ),
        (
            Pool::Words(WordPool::Mean),
            &[0, 1],
            &[1, 0],
            r#"[0,1],"combine":"stack","pool":"words:mean","width":2,"truncated":1,"tokens_lost":1,"results":[
{"index":0,"text_tokens":3,"vectors":[[[0.0,0.25]],[[0.5,0.75]]],"words":[{"text":"w\"0","start":0,"end":2}]},
{"index":1,"text_tokens":2,"tokens_lost":1,"vectors":[[],[]],"words":[]}
]}
"#,
        ),
        (
            Pool::Mean,
            &[12],
            &[],
            r#"[12],"combine":"stack","pool":"mean","width":2,"truncated":0,"tokens_lost":0,"results":[]}
"#,
        ),
    ];
    for (i, (pool, layers, rows, want)) in cases.iter().enumerate() {
        let header = header(*pool, layers, 2);
        let got = String::from_utf8(written(Format::Json, &header, rows)).unwrap();
        assert_eq!(got, format!("{START}{want}"), "{i}");
        let texts: Vec<_> =
            rows.iter().enumerate().map(|(t, &rows)| text(&header, t, rows)).collect();
        assert_eq!(to_string(&Embeddings::new(header.clone(), texts)).unwrap(), got, "{i}");

        // The lines of jsonl are those between the brackets.
        let results = got.lines().skip(1).filter(|line| *line != "]}");
        let lines: String =
            results.map(|line| format!("{}\n", line.strip_suffix(',').unwrap_or(line))).collect();
        assert_eq!(String::from_utf8(written(Format::Jsonl, &header, rows)).unwrap(), lines, "{i}");
    }
}

#[test]
fn json_numbers_are_the_shortest_that_read_back() {
    let mut head = header(Pool::Mean, &[1], 4);
    let mut one = text(&head, 0, 1);
    one.values = Values::F32(vec![0.1, -1.0 / 3.0, 1e-20, 16_777_216.0]);
    let line = |head: &Header, one: &TextEmbedding| {
        String::from_utf8(result(head, one, &[], &[]).unwrap()).unwrap()
    };
    assert!(
        line(&head, &one).ends_with(r#""vectors":[0.1,-0.33333334,1e-20,16777216.0]}"#),
        "{}",
        line(&head, &one)
    );
    one.values = Values::F32(vec![0.1, -1.0 / 3.0, 1e-20, 2048.0]);
    one.quantize(Precision::F16, 4).unwrap();
    head.precision = Precision::F16;
    assert!(
        line(&head, &one).ends_with(r#""vectors":[0.099975586,-0.33325195,0.0,2048.0]}"#),
        "{}",
        line(&head, &one)
    );
    one.values = Values::I8(vec![-128, 0, 1, 127]);
    assert!(line(&head, &one).ends_with(r#""vectors":[-128,0,1,127]}"#));
}

#[test]
fn json_refuses_nan() {
    for format in [Format::Json, Format::Jsonl] {
        let head = header(Pool::Mean, &[1], 2);
        let mut bad = text(&head, 0, 1);
        bad.values = Values::F32(vec![0.0, f32::NAN]);
        let mut sink = start_text(format, Vec::new(), head, &Extras::default()).unwrap();
        let error = sink.push(bad).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFinite);
        assert!(error.to_string().starts_with("text 0"), "{error}");
    }
}

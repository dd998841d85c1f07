//! What the routes answer, against the library.

use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_array::types::Float32Type;
use everylayer::{Capture, Device, Encoder, Layers, LoadOptions, Overflow, Pool};
use serde_json::{Value, json};

use crate::client::{Server, check, numbers};

fn bundled() -> Encoder {
    Encoder::open_blocking("bundled", &LoadOptions::default().device(Device::Cpu)).unwrap()
}

#[test]
fn every_dialect_gives_the_numbers_of_the_library() {
    let server = Server::start(&[]);
    let encoder = bundled();
    let texts = ["a first text", "and another, somewhat longer, one"];
    let own = |capture: &Capture| encoder.embed_blocking(texts, capture).unwrap();
    let model = own(&Capture::default()).to_vec();
    let mut failures = Vec::new();

    let (status, answer) = server.post("/v1/embeddings", &json!({ "input": texts }));
    assert_eq!(status, 200, "{answer}");
    let got: Vec<f32> =
        answer["data"].as_array().unwrap().iter().flat_map(|d| numbers(&d["embedding"])).collect();
    check("/v1/embeddings", &got, &model, &mut failures);
    for path in ["/embed", "/"] {
        let (status, answer) = server.post(path, &json!({ "inputs": texts }));
        assert_eq!(status, 200, "{answer}");
        check(path, &numbers(&answer), &model, &mut failures);
    }
    let tokens = Capture::default().pool(Pool::Tokens);
    let (_, answer) = server.post("/embed_all", &json!({ "inputs": texts }));
    check("/embed_all", &numbers(&answer), &own(&tokens).to_vec(), &mut failures);

    // Several outputs of one pass against a call each.
    let outputs = json!([
        { "name": "model" },
        { "name": "words", "layers": "-4..-1", "combine": "mean", "pool": "words" },
        { "name": "all", "layers": "all", "pool": "cls", "normalize": true },
        { "name": "tokens", "layers": [0, 6], "pool": "tokens", "dims": 7 },
        { "name": "heads", "site": "z", "layers": "all", "pool": "mean" },
        { "name": "added", "site": "mlp_out", "layers": [2, 1], "pool": "tokens" },
    ]);
    let words = Capture::default().layers("-4..-1");
    let words = words.combine(everylayer::Combine::Mean).pool("words");
    let all = Capture::default().layers(Layers::All).pool("cls").normalize(true);
    let cut = tokens.layers("0,6").dims(7);
    let (status, answer) =
        server.post("/v1/layers", &json!({ "input": texts, "outputs": outputs, "tokens": true }));
    assert_eq!(status, 200, "{answer}");
    let heads = Capture::default().site("z").layers(Layers::Blocks).pool("mean");
    let added = Capture::default().site("mlp_out").layers([2, 1]).pool("tokens");
    assert_eq!(answer["outputs"][4]["heads"], 12);
    assert_eq!(answer["outputs"][0]["site"], serde_json::Value::Null);
    let captures = [Capture::default(), words, all, cut, heads, added];
    for (output, capture) in answer["outputs"].as_array().unwrap().iter().zip(&captures) {
        let results = output["results"].as_array().unwrap();
        let got: Vec<f32> = results.iter().flat_map(|r| numbers(&r["vectors"])).collect();
        check(&output["name"].to_string(), &got, &own(capture).to_vec(), &mut failures);
    }
    assert_eq!(answer["texts"][0]["tokens"][0]["text"], "[CLS]");
    assert!(failures.is_empty(), "{failures:#?}");
}

/// A text of over 512 tokens, more than the model has positions.
fn long() -> String {
    "unbelievable rivers of quiet morning light ".repeat(100)
}

#[test]
fn windows_of_long_texts_are_those_of_the_library() {
    let server = Server::start(&[]);
    let encoder = bundled();
    let texts = [long(), "a short one".to_owned()];
    let mut failures = Vec::new();
    for (word, stride) in [("window", None), ("window:7", Some(7))] {
        let outputs = json!([
            { "name": "mean", "layers": "all", "pool": "mean" },
            { "name": "tokens", "layers": [3], "pool": "tokens" },
            { "name": "words", "pool": "words" },
        ]);
        let window = Capture::default().overflow(Overflow::Window { stride });
        let captures = [
            window.clone().layers(Layers::All).pool(Pool::Mean),
            window.clone().layers("3").pool(Pool::Tokens),
            window.pool("words"),
        ];
        let body = json!({ "input": texts, "outputs": outputs, "overflow": word, "words": true });
        let (status, answer) = server.post("/v1/layers", &body);
        assert_eq!(status, 200, "{answer}");
        assert_eq!(answer["tokens_lost"], 0);
        assert!(answer["texts"][0]["text_tokens"].as_u64().unwrap() > 512);
        for (output, capture) in answer["outputs"].as_array().unwrap().iter().zip(&captures) {
            let results = output["results"].as_array().unwrap();
            let got: Vec<f32> = results.iter().flat_map(|r| numbers(&r["vectors"])).collect();
            let want = encoder.embed_blocking(&texts, capture).unwrap().to_vec();
            // One run for all outputs: the same sequences, so the same bits.
            assert_eq!(got.len(), want.len(), "{word} {}", output["name"]);
            check(&format!("{word} {}", output["name"]), &got, &want, &mut failures);
        }
        // A single output takes the way of the library, bit by bit.
        let body = json!({ "input": texts, "overflow": word, "outputs": [{ "pool": "mean" }] });
        let (_, answer) = server.post("/v1/layers", &body);
        let results = answer["outputs"][0]["results"].as_array().unwrap();
        let got: Vec<f32> = results.iter().flat_map(|r| numbers(&r["vectors"])).collect();
        let mean = Capture::default().overflow(Overflow::Window { stride }).pool(Pool::Mean);
        assert_eq!(got, encoder.embed_blocking(&texts, &mean).unwrap().to_vec(), "{word}");
    }
    assert!(failures.is_empty(), "{failures:#?}");
    let pair = json!({ "input": [[long(), long()]], "overflow": "window" });
    assert_eq!(server.post("/v1/layers", &pair).0, 400);
}

#[test]
fn binary_answers_hold_the_numbers_of_the_library() {
    let server = Server::start(&[]);
    let encoder = bundled();
    let texts = ["a first text", "and another, somewhat longer, one"];
    let all = Capture::default().layers(Layers::All).pool(Pool::Cls);
    let tokens = Capture::default().pool(Pool::Tokens);
    let want = |capture: &Capture| encoder.embed_blocking(texts, capture).unwrap().to_vec();
    let (all, tokens) = (want(&all), want(&tokens));
    let body = json!({ "input": texts, "tokens": true, "words": true, "outputs": [
        { "name": "all", "layers": "all", "pool": "cls" }, { "name": "tokens", "pool": "tokens" },
        { "name": "half", "precision": "f16" },
    ]});
    let get = |body: &Value, kind: &str| {
        let head = format!("accept: {kind}\r\n");
        let (status, head, bytes) =
            server.call("POST", "/v1/layers", &head, body.to_string().as_bytes());
        assert_eq!(status, 200, "{kind}: {}", String::from_utf8_lossy(&bytes));
        assert!(head.contains(&format!("content-type: {kind}")), "{head}");
        bytes
    };
    let of_bytes = |bytes: &[u8]| -> Vec<f32> {
        bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
    };
    let mut failures = Vec::new();

    let bytes = get(&body, "application/vnd.safetensors");
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let tensor = |name: &str| of_bytes(file.tensor(name).unwrap().data());
    check("safetensors all", &tensor("all.vectors"), &all, &mut failures);
    check("safetensors tokens", &tensor("tokens.vectors"), &tokens, &mut failures);
    assert_eq!(file.tensor("half.vectors").unwrap().dtype(), safetensors::Dtype::F16);

    let longs = |name: &str| -> Vec<i64> {
        let data = file.tensor(name).unwrap().data().chunks_exact(8);
        data.map(|b| i64::from_le_bytes(b.try_into().unwrap())).collect()
    };
    assert_eq!(longs("token_ids")[..5], [101, 1037, 2034, 3793, 102]);
    assert_eq!(file.tensor("token_spans").unwrap().shape(), [longs("token_ids").len(), 2]);
    assert_eq!(longs("token_words")[..5], [-1, 0, 1, 2, -1]);
    assert_eq!(longs("token_offsets")[..2], [0, 5]);
    assert_eq!(longs("word_spans")[..6], [0, 1, 2, 7, 8, 12]);
    assert_eq!((longs("word_tokens")[..2].to_vec(), longs("word_offsets")[1]), (vec![1, 2], 3));

    let bytes = get(&body, "application/vnd.apache.arrow.stream");
    let mut reader = arrow_ipc::reader::StreamReader::try_new(&bytes[..], None).unwrap();
    let table = reader.next().unwrap().unwrap();
    assert!(reader.next().is_none());
    assert_eq!(table.num_rows(), 2);
    let floats = |column: &str| -> Vec<f32> {
        let mut array = table.column_by_name(column).unwrap().clone();
        while !array.data_type().is_primitive() {
            array = match array.as_list_opt::<i32>() {
                Some(list) => list.values().clone(),
                None => array.as_fixed_size_list().values().clone(),
            };
        }
        array.as_primitive::<Float32Type>().values().to_vec()
    };
    check("arrow all", &floats("all.vectors"), &all, &mut failures);
    check("arrow tokens", &floats("tokens.vectors"), &tokens, &mut failures);
    let list = table.column_by_name("tokens").unwrap().as_list::<i32>().value(0);
    let pieces = list.as_struct().column_by_name("text").unwrap().as_string::<i32>().clone();
    let pieces: Vec<_> = pieces.iter().flatten().collect();
    assert_eq!(pieces, ["[CLS]", "a", "first", "text", "[SEP]"]);
    assert_eq!(table.column_by_name("words").unwrap().as_list::<i32>().value(0).len(), 3);
    assert_eq!(reader.schema().metadata()["all.layers"], "0,1,2,3,4,5,6");

    let bytes = get(&body, "application/x-npz");
    let name = b"all.vectors.npy";
    let at = bytes.windows(name.len()).position(|w| w == name).unwrap();
    let npy = &bytes[at + bytes[at..].windows(6).position(|w| w == b"\x93NUMPY").unwrap()..];
    let head = 10 + usize::from(u16::from_le_bytes([npy[8], npy[9]]));
    check("npz all", &of_bytes(&npy[head..head + 4 * all.len()]), &all, &mut failures);

    // The same request has the same bytes, however often it is asked.
    let types =
        ["application/x-npz", "application/vnd.safetensors", "application/vnd.apache.arrow.stream"];
    for accept in types {
        let first = get(&body, accept);
        if (0..4).any(|_| get(&body, accept) != first) {
            failures.push(format!("{accept} has other bytes the second time"));
        }
    }

    // Alone and without a name, arrays have plain names.
    let one = json!({ "input": texts });
    let bytes = get(&one, "application/vnd.apache.arrow.stream");
    let reader = arrow_ipc::reader::StreamReader::try_new(&bytes[..], None).unwrap();
    assert!(reader.schema().field_with_name("vectors").is_ok());
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn tokens_words_and_pairs_come_on_request() {
    let server = Server::start(&[]);
    let body = json!({
        "input": [{ "text": "Tokenization helps.", "text_pair": "naïve" }], "tokens": true, "words": true,
        "outputs": [{ "pool": "words", "dims": 2 }, { "precision": "int8" }, { "precision": "ubinary" }],
    });
    let (status, answer) = server.post("/v1/layers", &body);
    // One text has no range to quantise over.
    assert_eq!(status, 400, "{answer}");
    let mut body = body;
    body["outputs"].as_array_mut().unwrap().remove(1);
    let (status, answer) = server.post("/v1/layers", &body);
    assert_eq!(status, 200, "{answer}");
    let text = &answer["texts"][0];
    let pieces: Vec<&str> =
        text["tokens"].as_array().unwrap().iter().map(|t| t["text"].as_str().unwrap()).collect();
    assert_eq!(pieces[..4], ["[CLS]", "token", "##ization", "helps"]);
    let words = text["words"].as_array().unwrap();
    let word = |i: usize| (words[i]["text"].as_str().unwrap(), &words[i]["tokens"]);
    assert_eq!(word(0), ("Tokenization", &json!([1, 3])));
    let results = &answer["outputs"][0]["results"][0];
    assert_eq!(numbers(&results["vectors"]).len(), 2 * words.len());
    assert_eq!(answer["outputs"][1]["results"][0]["vectors"].as_array().unwrap().len(), 48);
}

#[test]
fn the_openapi_document_has_every_route() {
    let server = Server::start(&[]);
    let (status, _, body) = server.call("GET", "/api-doc/openapi.json", "", b"");
    assert_eq!(status, 200);
    let document: Value = serde_json::from_slice(&body).unwrap();
    let paths = document["paths"].as_object().unwrap();
    let mut failures = Vec::new();
    for (path, methods) in paths {
        for method in methods.as_object().unwrap().keys() {
            // What is documented is there: it may refuse an empty request, but it knows the way.
            let path = path.replace("{model}", "bundled");
            let (status, ..) = server.call(&method.to_uppercase(), &path, "", b"{}");
            if matches!(status, 404 | 405) {
                failures.push(format!("{method} {path}: {status}"));
            }
        }
    }
    // What is there is documented, as both come of one table; but for routes of Text Embeddings
    // Inference that are not for an embedding model.
    assert!(paths.len() > 20, "{paths:?}");
    for other in ["/embed_sparse", "/predict", "/rerank"] {
        assert!(!paths.contains_key(other), "{other}");
        assert_eq!(server.call("POST", other, "", b"{}").0, 424, "{other}");
    }
    assert!(failures.is_empty(), "{failures:?}");
    let (status, head, _) = server.call("GET", "/docs", "", b"");
    assert!(status == 200 && head.contains("text/html"), "{head}");
}

#[test]
fn info_and_headers_speak_as_text_embeddings_inference() {
    let server = Server::start(&["--max-client-batch-size", "7", "--auto-truncate=false"]);
    let (_, _, body) = server.call("GET", "/info", "", b"");
    let info: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(info["model_type"]["embedding"]["pooling"], "mean");
    assert_eq!(
        (&info["max_client_batch_size"], &info["auto_truncate"]),
        (&json!(7), &json!(false))
    );
    let body =
        json!({ "inputs": ["héllo", long()], "truncate": true, "truncation_direction": "Left" });
    let (status, head, _) = server.call("POST", "/embed", "", body.to_string().as_bytes());
    assert_eq!(status, 200);
    let header = |name: &str| -> u64 {
        let lines = head.lines().find_map(|l| l.strip_prefix(&format!("{name}: ")));
        lines.unwrap_or_else(|| panic!("no {name} in {head}")).parse().unwrap()
    };
    assert_eq!(header("x-compute-characters"), 5 + long().chars().count() as u64);
    assert_eq!(header("x-truncated-texts"), 1);
    assert!(header("x-compute-tokens") > 256);
    for name in ["x-total-time", "x-tokenization-time", "x-queue-time", "x-inference-time"] {
        header(name);
    }
    assert!(head.contains("x-compute-type: cpu"), "{head}");
    // Not told to cut, this server refuses.
    let (status, answer) = server.post("/embed", &json!({ "inputs": long() }));
    assert_eq!((status, &answer["error_type"]), (413, &json!("Validation")), "{answer}");
}

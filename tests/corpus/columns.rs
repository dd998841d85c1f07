//! Columns of a parquet file that are carried along, by type.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use arrow_array::builder::{Int16Builder, ListBuilder, StringDictionaryBuilder};
use arrow_array::types::Int32Type;
use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float16Array, Float32Array,
    Int8Array, Int32Array, LargeStringArray, RecordBatch, StringArray, StructArray,
    TimestampMicrosecondArray, UInt16Array,
};
use arrow_schema::{DataType, Field};
use half::f16;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Value, json};

use super::{done, embed, refused};

fn columns() -> Vec<(&'static str, ArrayRef)> {
    let mut lists = ListBuilder::new(Int16Builder::new());
    lists.append_value([Some(1), None]);
    lists.append_null();
    lists.append_value([None; 0]);
    let mut words = StringDictionaryBuilder::<Int32Type>::new();
    [Some("x"), None, Some("y")].into_iter().for_each(|word| words.append_option(word));
    let field = Arc::new(Field::new("a", DataType::Int32, true));
    let number: ArrayRef = Arc::new(Int32Array::from(vec![1, 2, 3]));
    let amount = Decimal128Array::from(vec![Some(-12_345), None, Some(1)]);
    let moment = TimestampMicrosecondArray::from(vec![Some(1_500_000), None, Some(-1)]);
    vec![
        ("text", Arc::new(StringArray::from(vec!["a", "b c", "d"]))),
        ("flag", Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)]))),
        ("tiny", Arc::new(Int8Array::from(vec![Some(-128), None, Some(7)]))),
        ("short", Arc::new(UInt16Array::from(vec![Some(65_535), None, Some(0)]))),
        ("half", Arc::new(Float16Array::from(vec![Some(f16::MAX), None, Some(f16::MIN)]))),
        ("single", Arc::new(Float32Array::from(vec![Some(0.1), None, Some(f32::MAX)]))),
        ("long", Arc::new(LargeStringArray::from(vec![Some("\u{e4}"), None, Some("")]))),
        ("bytes", Arc::new(BinaryArray::from(vec![Some(&b"\xff\0"[..]), None, Some(b"")]))),
        ("day", Arc::new(Date32Array::from(vec![Some(19_753), None, Some(-1)]))),
        ("moment", Arc::new(moment.with_timezone("Europe/Berlin"))),
        ("amount", Arc::new(amount.with_precision_and_scale(12, 3).unwrap())),
        ("word", Arc::new(words.finish())),
        ("list", Arc::new(lists.finish())),
        ("record", Arc::new(StructArray::from(vec![(field, number)]))),
    ]
}

fn read(path: &Path) -> RecordBatch {
    let builder = ParquetRecordBatchReaderBuilder::try_new(fs::File::open(path).unwrap()).unwrap();
    builder.build().unwrap().next().unwrap().unwrap()
}

#[test]
fn a_column_of_parquet_keeps_its_type() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let batch = RecordBatch::try_from_iter_with_nullable(
        columns().into_iter().map(|(name, column)| (name, column, name != "text")),
    );
    let batch = batch.unwrap();
    let mut writer =
        ArrowWriter::try_new(fs::File::create(at("in.parquet")).unwrap(), batch.schema(), None)
            .unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let names: Vec<&str> = columns().iter().map(|(name, _)| *name).collect();
    let names = &names[1..names.len() - 1];
    let keep = ["--keep", &names.join(",")];
    done(embed(&at("in.parquet"), &at("out.parquet"), &keep));
    let (was, is) = (read(&at("in.parquet")), read(&at("out.parquet")));
    for name in names {
        let (was, is) = (was.column_by_name(name).unwrap(), is.column_by_name(name).unwrap());
        assert_eq!((is.data_type(), is), (was.data_type(), was), "{name}");
    }

    // JSON has numbers, text and lists.
    done(embed(&at("in.parquet"), &at("out.jsonl"), &keep));
    let text = fs::read_to_string(at("out.jsonl")).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for (name, want) in [
        ("flag", json!(true)),
        ("tiny", json!(-128)),
        ("short", json!(65_535)),
        ("half", json!(65_504.0)),
        ("single", json!(f64::from(0.1f32))),
        ("long", json!("\u{e4}")),
        ("bytes", json!("/wA=")),
        ("day", json!("2024-01-31")),
        ("moment", json!("1970-01-01T00:00:01.500Z")),
        ("amount", json!("-12.345")),
        ("word", json!("x")),
        ("list", json!([1, null])),
    ] {
        assert_eq!(lines[0][name], want, "{name}");
        assert_eq!(lines[1][name], Value::Null, "{name}");
    }

    // What is no such value is refused by name.
    let said = refused(embed(&at("in.parquet"), &at("x.parquet"), &["--keep", "record"]), 1);
    assert!(
        said.contains("column `record` holds") && said.contains("--keep does not support"),
        "{said}"
    );
}

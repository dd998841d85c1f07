//! `embed --on ray`: what the program says where it has no Python, and which words do not go together. What
//! Ray makes of them is tested with the Python package: `python/tests/test_on_ray.py`.

use crate::calls::run;

const ON: [&str; 9] = ["embed", "--on", "ray", "--id", "id", "-i", "c.parquet", "-o", "out"];

fn error(more: &[&str]) -> String {
    run(&[&ON[..], more].concat()).error(2).to_owned()
}

#[test]
fn without_python_it_says_what_to_install() {
    let said = error(&["--workers", "4", "--worker-resources", "gpu=1,vulkan=0.5", "--resume"]);
    assert!(said.contains("pip install 'everylayer[ray]'"), "{said}");
}

#[test]
fn what_does_not_go_together_is_named() {
    for (more, part) in [
        (&["--shard", "1/2"][..], "--shard does not go with --on"),
        (&["--plan"], "--plan"),
        (&["--rejected-rows", "nan"], "--rejected-rows does not go with --on"),
        (&["--no-tune"], "--no-tune does not go with --on"),
        (&["--coop", "--dtype", "f16"], "--coop does not go with --on"),
        (&["-f", "npy"], "--on writes Parquet, not npy"),
        (&["--worker-resources", "gpu"], "`gpu` is not NAME=N"),
        (&["--worker-resources", "gpu=-1"], "`gpu=-1` is not NAME=N"),
        (&["--worker-resources", "gpu=inf"], "`gpu=inf` is not NAME=N"),
        (&["--worker-resources", "gpu=1,gpu=2"], "names gpu twice"),
        (&["--workers", "0"], "not a whole number above 0"),
        (&["a text"], "cannot be used with"),
    ] {
        let said = error(more);
        assert!(said.contains(part), "{more:?}: {said}");
    }
    for (words, part) in [
        (&["embed", "--workers", "2", "a"][..], "--on"),
        (&["embed", "--id", "id", "a"], "--on"),
        (&["embed", "--on", "ray", "-i", "c.parquet", "-o", "out"], "--id"),
        (
            &["embed", "--on", "ray", "--id", "a", "-i", "c.jsonl", "-o", "out"],
            "c.jsonl is neither",
        ),
        (&["embed", "--on", "ray", "--id", "a", "-i", "-", "-o", "out"], "--input is a file"),
        (
            &["embed", "--on", "ray", "--id", "a", "-i", "c.parquet", "-o", "-"],
            "--output is a file",
        ),
        (&["embed", "--on", "dask", "a"], "dask"),
    ] {
        let said = run(words).error(2).to_owned();
        assert!(said.contains(part), "{words:?}: {said}");
    }
    // Addresses, and folders here and elsewhere.
    let folder = tempfile::tempdir().unwrap();
    for input in
        ["s3://bucket/corpus.parquet", "s3://bucket/corpus/", folder.path().to_str().unwrap()]
    {
        let words = ["embed", "--on", "ray", "--id", "a", "-i", input, "-o", "s3://bucket/out"];
        assert!(run(&words).error(2).contains("pip install"), "{input}");
    }
}

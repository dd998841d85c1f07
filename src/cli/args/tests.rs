//! What clap makes of words.

use clap::CommandFactory;

use super::*;

#[test]
fn clap_finds_no_contradiction() {
    Cli::command().debug_assert();
}

#[test]
fn layers_may_begin_with_a_hyphen() {
    for (words, want) in
        [(["-l", "-1"], "-1"), (["--layers", "-4..-1"], "-4..-1"), (["-l", "0,-1"], "0,-1")]
    {
        let cli = Cli::try_parse_from(["everylayer", "embed", words[0], words[1], "a text"]);
        let Command::Embed(args) = cli.unwrap().command else { panic!("not embed") };
        assert_eq!(args.layers.to_string(), want);
        assert_eq!(args.input.texts, ["a text"]);
    }
}

#[test]
fn normalize_takes_no_text_for_its_value() {
    for (word, want) in [
        ("--normalize", Some(true)),
        ("--normalize=true", Some(true)),
        ("--normalize=false", Some(false)),
        ("--quiet", None),
    ] {
        let cli = Cli::try_parse_from(["everylayer", "embed", word, "a text"]).unwrap();
        let Command::Embed(args) = cli.command else { panic!("not embed") };
        assert_eq!(args.normalize, want, "{word}");
        assert_eq!(args.input.texts, ["a text"]);
    }
}

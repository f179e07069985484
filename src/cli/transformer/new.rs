//! `tenterhook transformer new`: a project that builds with the commands of its own README, has tests and golden cases, and
//! needs nothing from anywhere but its language's registry: the interface and the Rust SDK come along.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use serde_json::json;

use crate::cli::Global;

#[derive(clap::Args)]
#[command(after_help = "Examples:
  tenterhook transformer new my-format
  tenterhook transformer new my-format --lang js
  tenterhook transformer new my-format --lang python --dir ../my-format")]
pub(super) struct Args {
    /// Its name: what `transform = …` will say
    #[arg(value_name = "NAME", value_parser = name)]
    name: String,
    /// The language
    #[arg(short, long, value_enum, default_value_t = Language::Rust)]
    lang: Language,
    /// Where to write it [default: ./NAME]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Language {
    Rust,
    #[value(alias = "javascript")]
    Js,
    #[value(alias = "py")]
    Python,
    C,
    Go,
    /// AssemblyScript
    #[value(alias = "assemblyscript")]
    As,
}

/// A file of a project and its text, in which `@NAME@`, `@FILE@` and `@VERSION@` are filled in.
type File = (&'static str, &'static str);

const COMMON: [File; 4] = [
    (".gitignore", include_str!("templates/gitignore")),
    ("cases/greets.json", include_str!("templates/cases/greets.json")),
    ("cases/drops_tests.json", include_str!("templates/cases/drops_tests.json")),
    ("wit/1.1.0/transformer.wit", include_str!("../../../wit/1.1.0/transformer.wit")),
];

const RUST: [File; 7] = [
    ("README.md", include_str!("templates/rust/README.md")),
    ("Cargo.toml", include_str!("templates/rust/Cargo.toml.txt")),
    ("src/lib.rs", include_str!("templates/rust/lib.rs.txt")),
    ("tenterhook/sdk/Cargo.toml", include_str!("../../../transformers/sdk/Cargo.toml")),
    ("tenterhook/sdk/src/arena.rs", include_str!("../../../transformers/sdk/src/arena.rs")),
    ("tenterhook/sdk/src/lib.rs", include_str!("../../../transformers/sdk/src/lib.rs")),
    ("tenterhook/sdk/src/options.rs", include_str!("../../../transformers/sdk/src/options.rs")),
];

const JS: [File; 8] = [
    ("README.md", include_str!("templates/js/README.md")),
    ("package.json", include_str!("templates/js/package.json")),
    ("transformer.js", include_str!("templates/js/transformer.js")),
    ("tenterhook.js", include_str!("templates/js/tenterhook.js")),
    ("test/transformer.test.js", include_str!("templates/js/test/transformer.test.js")),
    ("wit/js/world.wit", include_str!("templates/js/wit/world.wit")),
    ("wit/js/deps/random/random.wit", include_str!("templates/js/wit/random.wit")),
    ("wit/js/deps/transformer/transformer.wit", include_str!("../../../wit/1.1.0/transformer.wit")),
];

const C: [File; 4] = [
    ("README.md", include_str!("templates/c/README.md")),
    ("tenterhook.c", include_str!("templates/c/tenterhook.c")),
    ("tenterhook.h", include_str!("templates/c/tenterhook.h")),
    ("transformer.c", include_str!("templates/c/transformer.c")),
];

const GO: [File; 4] = [
    ("README.md", include_str!("templates/go/README.md")),
    ("go.mod", include_str!("templates/go/go.mod.txt")),
    ("tenterhook.go", include_str!("templates/go/tenterhook.go")),
    ("transformer.go", include_str!("templates/go/transformer.go")),
];

const ASSEMBLYSCRIPT: [File; 5] = [
    ("README.md", include_str!("templates/as/README.md")),
    ("interface.ts", include_str!("templates/as/interface.ts")),
    ("package.json", include_str!("templates/as/package.json")),
    ("tenterhook.ts", include_str!("templates/as/tenterhook.ts")),
    ("transformer.ts", include_str!("templates/as/transformer.ts")),
];

const PYTHON: [File; 5] = [
    ("README.md", include_str!("templates/python/README.md")),
    ("requirements.txt", include_str!("templates/python/requirements.txt")),
    ("app.py", include_str!("templates/python/app.py")),
    ("transformer.py", include_str!("templates/python/transformer.py")),
    ("test_transformer.py", include_str!("templates/python/test_transformer.py")),
];

const NAME_CHARS_MAX: usize = 64;

/// Names that are good in config.toml, as a file, and for cargo and npm.
fn name(text: &str) -> Result<String, String> {
    let good = text.len() <= NAME_CHARS_MAX
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(c));
    if !good {
        return Err("use lower-case letters, digits, - and _, a letter first, at most 64".to_owned());
    }
    // What cargo refuses: keywords and the names of its own crates.
    const TAKEN: [&str; 12] = ["core", "crate", "deps", "fn", "mod", "self", "std", "super", "test", "tests", "type", "use"];
    if TAKEN.contains(&text) {
        return Err(format!("`{text}` means something else to a compiler: take another"));
    }
    Ok(text.to_owned())
}

pub(super) fn run(global: &Global, args: Args) -> anyhow::Result<()> {
    let dir = args.dir.unwrap_or_else(|| PathBuf::from(&args.name));
    let files = write(&dir, &args.name, args.lang)?;
    if global.json {
        writeln!(std::io::stdout(), "{}", json!({ "dir": dir.display().to_string(), "files": files }))?;
        return Ok(());
    }
    let bold = anstyle::Style::new().bold();
    say!("wrote {} files into {bold}{}{bold:#}; its README.md says how to build it:\n", files.len(), dir.display());
    let steps = match args.lang {
        Language::Rust => "cargo test\n  cargo build --release --target wasm32-wasip2",
        Language::Js | Language::As => "npm install\n  npm run build",
        Language::C => {
            "pip install ziglang\n  python -m ziglang cc --target=wasm32-wasi -mexec-model=reactor -Os -Wall \
             -Wl,-z,stack-size=65536 -o NAME.wasm transformer.c tenterhook.c"
        }
        Language::Go => "GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared -ldflags='-s -w' -o NAME.wasm .",
        Language::Python => {
            "pip install -r requirements.txt\n  componentize-py -d wit/1.1.0 -w transformer componentize app -o NAME.wasm"
        }
    };
    say!("  cd {}\n  {}", dir.display(), steps.replace("NAME", &args.name));
    Ok(())
}

/// Writes the project, and says which files it has.
fn write(dir: &Path, name: &str, language: Language) -> anyhow::Result<Vec<&'static str>> {
    if dir.read_dir().is_ok_and(|mut entries| entries.next().is_some()) {
        bail!("{} is there already and not empty: give another with --dir", dir.display());
    }
    let own: &[File] = match language {
        Language::Rust => &RUST,
        Language::Js => &JS,
        Language::Python => &PYTHON,
        Language::C => &C,
        Language::Go => &GO,
        Language::As => &ASSEMBLYSCRIPT,
    };
    let mut written = Vec::new();
    for (path, text) in COMMON.iter().chain(own) {
        let target = dir.join(path);
        if let Some(parent) = target.parent() {
            std::fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
        }
        let text = text
            .replace("@NAME@", name)
            .replace("@FILE@", &name.replace('-', "_"))
            .replace("@VERSION@", env!("CARGO_PKG_VERSION"));
        std::fs::write(&target, text).with_context(|| format!("cannot write {}", target.display()))?;
        written.push(*path);
    }
    Ok(written)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_language_has_a_whole_project() {
        for &language in <Language as clap::ValueEnum>::value_variants() {
            let dir = tempfile::tempdir().unwrap();
            let files = write(&dir.path().join("p"), "my-format", language).unwrap();
            assert!(files.contains(&"README.md") && files.contains(&"wit/1.1.0/transformer.wit"));
            for file in files {
                let text = std::fs::read_to_string(dir.path().join("p").join(file)).unwrap();
                for placeholder in ["@NAME@", "@FILE@", "@VERSION@"] {
                    assert!(!text.contains(placeholder), "{file} has {placeholder}");
                }
            }
            let error = write(&dir.path().join("p"), "my-format", language).unwrap_err().to_string();
            assert!(error.contains("is there already and not empty"), "{error}");
        }
    }

    #[test]
    fn names_are_good_everywhere_or_refused() {
        assert!(name("my-format_2").is_ok());
        for bad in ["", "My", "2x", "a b", "a.b", "../x", "é", "test", &"x".repeat(65)] {
            assert!(name(bad).is_err(), "{bad}");
        }
    }
}

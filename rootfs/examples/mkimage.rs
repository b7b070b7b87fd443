//! Builds an image: `mkimage DIR|TAR OUT`, `mkimage --default BUSYBOX OUT`, `mkimage --agent AGENT OUT`.

use std::fs::{self, File};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ampoule_rootfs::{
    Error, ImageBuilder, ImageInfo, Options, Source, Times, add_agent_tree, add_default_tree, build_file, hex,
};

const USAGE: &str = "usage: mkimage DIR|TAR OUT | mkimage --default BUSYBOX OUT | mkimage --agent AGENT OUT";

fn main() -> ExitCode {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let (mode, input, output) = match arguments.as_slice() {
        [input, output] => ("", input, output),
        [mode, input, output] => (mode.to_str().unwrap_or("?"), input, output),
        _ => ("?", &PathBuf::new(), &PathBuf::new()),
    };
    if !matches!(mode, "" | "--default" | "--agent") {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    }
    match make(mode, input, output) {
        Ok(info) => {
            let digest = hex(&info.digest);
            println!("{} bytes, {} inodes, {} files, sha256 {digest}", info.bytes, info.inodes, info.files);
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("mkimage: {error}");
            ExitCode::FAILURE
        }
    }
}

fn make(mode: &str, input: &Path, output: &Path) -> Result<ImageInfo, Error> {
    let create = || File::create(output).map_err(Error::Output);
    let options = Options { times: Times::from_env(), ..Options::default() };
    match mode {
        "--default" => {
            let mut file = create()?;
            let mut builder = ImageBuilder::new(&mut file, options)?;
            add_default_tree(&mut builder, input)?;
            builder.finish()
        }
        "--agent" => {
            let agent = fs::read(input).map_err(Error::Input)?;
            let mut file = create()?;
            let mut builder = ImageBuilder::new(&mut file, options)?;
            add_agent_tree(&mut builder, &agent)?;
            builder.finish()
        }
        _ => build_file(Source::from_path(input)?, output, options, Box::new(|_| ControlFlow::Continue(()))),
    }
}

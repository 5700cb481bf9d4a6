//! Which files the sample workload counts the words of.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Files to count the words of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Files {
    /// The files, in a fixed order.
    pub paths: Vec<String>,
    /// How many were left out: no text, or a name that isn't UTF-8.
    pub left_out: usize,
}

impl Files {
    /// Every text file in the folder and below; what is hidden or a link is left alone.
    ///
    /// # Errors
    /// When a folder can't be read, naming it.
    pub fn below(folder: &Path) -> io::Result<Self> {
        let mut files = Self::default();
        files.add_below(folder)?;
        files.paths.sort();
        Ok(files)
    }

    /// This repository's own documents: the `*.md` in its root and in `shared/docs`. The
    /// repository is where this program was built, or else the current directory.
    ///
    /// # Errors
    /// As [`below`](Files::below).
    pub fn of_this_repository() -> io::Result<Self> {
        let built_in = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let root = built_in.canonicalize().unwrap_or_else(|_| ".".into());
        let mut files = Self::default();
        for folder in [root.clone(), root.join("shared/docs")] {
            if !folder.is_dir() {
                continue;
            }
            for path in entries(&folder)? {
                if path.extension().is_some_and(|extension| extension == "md") && path.is_file() {
                    files.add(&path);
                }
            }
        }
        files.paths.sort();
        Ok(files)
    }

    fn add_below(&mut self, folder: &Path) -> io::Result<()> {
        let mut folders = vec![folder.to_owned()];
        while let Some(folder) = folders.pop() {
            for path in entries(&folder)? {
                let hidden = path
                    .file_name()
                    .is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
                // Gone since it was listed, or a link: not ours to follow.
                let kind = path.symlink_metadata().map(|metadata| metadata.file_type());
                match kind {
                    Ok(kind) if kind.is_dir() && !hidden => folders.push(path),
                    Ok(kind) if kind.is_file() && !hidden => self.add(&path),
                    _ => {}
                }
            }
        }
        Ok(())
    }

    fn add(&mut self, path: &Path) {
        match path.to_str() {
            Some(text) if is_text(path) => self.paths.push(text.to_owned()),
            _ => self.left_out += 1,
        }
    }
}

fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let read = || {
        fs::read_dir(folder)?
            .map(|entry| Ok(entry?.path()))
            .collect::<io::Result<Vec<_>>>()
    };
    read().map_err(|error| {
        let what = format!("can't read the folder {}: {error}", folder.display());
        io::Error::new(error.kind(), what)
    })
}

/// No zero byte at its beginning, as git decides. One that can't be read counts as text: the task
/// that is to count its words says why.
fn is_text(path: &Path) -> bool {
    let mut beginning = Vec::new();
    match fs::File::open(path) {
        Ok(file) => {
            let read = file.take(8192).read_to_end(&mut beginning);
            read.is_err() || !beginning.contains(&0)
        }
        Err(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_files_below_a_folder() {
        let folder = std::env::temp_dir().join(format!("sedano-files-{}", std::process::id()));
        fs::create_dir_all(folder.join("deep/er")).unwrap();
        fs::create_dir_all(folder.join(".git")).unwrap();
        for (name, content) in [
            ("b.txt", &b"words"[..]),
            ("a", b""),
            ("deep/er/c", b"more"),
            (".hidden", b"x"),
            (".git/config", b"x"),
            ("picture", b"\x89PNG\0"),
        ] {
            fs::write(folder.join(name), content).unwrap();
        }
        let files = Files::below(&folder).unwrap();
        fs::remove_dir_all(&folder).unwrap();
        let names: Vec<_> = files
            .paths
            .iter()
            .map(|path| Path::new(path).strip_prefix(&folder).unwrap().to_str())
            .collect();
        assert_eq!(names, [Some("a"), Some("b.txt"), Some("deep/er/c")]);
        assert_eq!(files.left_out, 1);
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let error = Files::below(Path::new("/no/such/folder")).unwrap_err();
        let text = error.to_string();
        assert!(
            text.starts_with("can't read the folder /no/such/folder: "),
            "{text}"
        );
    }

    #[test]
    fn this_repository_has_documents() {
        let files = Files::of_this_repository().unwrap();
        assert!(
            files
                .paths
                .iter()
                .any(|path| path.ends_with("shared/docs/local.md"))
        );
    }
}

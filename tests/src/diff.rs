//! How two transcripts differ.

/// Lines of `theirs` that `ours` lacks with `-`, lines that it has on top with `+`, and a few lines around them. Empty
/// if there is no difference.
pub fn lines(theirs: &str, ours: &str) -> String {
    let (a, b): (Vec<&str>, Vec<&str>) = (theirs.lines().collect(), ours.lines().collect());
    let common = common(&a, &b);
    let (mut i, mut j, mut all) = (0, 0, Vec::new());
    while i < a.len() || j < b.len() {
        if i < a.len() && j < b.len() && a[i] == b[j] {
            all.push((' ', a[i]));
            (i, j) = (i + 1, j + 1);
        } else if j == b.len() || (i < a.len() && common[i + 1][j] >= common[i][j + 1]) {
            all.push(('-', a[i]));
            i += 1;
        } else {
            all.push(('+', b[j]));
            j += 1;
        }
    }
    around_changes(&all)
}

/// Lengths of the longest common subsequences of the rest of `a` and the rest of `b`.
fn common(a: &[&str], b: &[&str]) -> Vec<Vec<u32>> {
    let mut table = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in (0..a.len()).rev() {
        for j in (0..b.len()).rev() {
            table[i][j] =
                if a[i] == b[j] { table[i + 1][j + 1] + 1 } else { table[i + 1][j].max(table[i][j + 1]) };
        }
    }
    table
}

fn around_changes(all: &[(char, &str)]) -> String {
    const AROUND: usize = 2;
    let near = |at: usize| {
        let from = at.saturating_sub(AROUND);
        all[from..all.len().min(at + AROUND + 1)].iter().any(|(mark, _)| *mark != ' ')
    };
    let (mut text, mut skipped) = (String::new(), false);
    for (at, (mark, line)) in all.iter().enumerate() {
        if near(at) {
            text += &format!("{}{mark} {line}\n", if skipped { "  ...\n" } else { "" });
        }
        skipped = !near(at);
    }
    text
}

//! How scripts/test runs its parts (`run_parts` in scripts/common.sh), and that it knows them. The
//! parts that run here are stubs: tests/server/scripts/stub.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    os::unix::process::ExitStatusExt,
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

/// Starts it with these parts. Signals are as a terminal leaves them, even if whoever runs these
/// tests ignores some.
fn start(parts: &[&str]) -> Child {
    Command::new("env")
        .args([
            "--default-signal=INT,TERM,HUP",
            "bash",
            "-c",
            "set -euo pipefail; . scripts/common.sh; run_parts tests/server/scripts/stub \"$@\"",
            "run",
        ])
        .args(parts)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Runs these parts: the exit code, and what was printed.
fn run(parts: &[&str]) -> (Option<i32>, String) {
    let output = start(parts).wait_with_output().unwrap();
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

/// The rows of the sum: each part and how it went; and the last line.
fn sum(printed: &str) -> (Vec<(&str, &str)>, &str) {
    let (_, table) = printed.split_once("== what was run").unwrap();
    let mut lines: Vec<_> = table.lines().skip(1).collect();
    let (last, altogether) = (lines.pop().unwrap(), lines.pop().unwrap());
    assert!(altogether.starts_with("altogether "), "{table}");
    let rows = lines.into_iter().map(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        assert!(words[2].contains(':'), "no time in {line}");
        (words[0], words[1])
    });
    (rows.collect(), last)
}

#[test]
fn each_part_runs_even_if_another_failed_and_the_sum_says_which() {
    let (code, printed) = run(&["good", "bad", "killed", "slow", "good"]);
    let rows = vec![
        ("good", "passed"),
        ("bad", "failed"),
        ("killed", "failed"),
        ("slow", "failed"),
        ("good", "passed"),
    ];
    assert_eq!(sum(&printed), (rows, "2 passed, 3 failed"));
    assert_eq!(code, Some(1));
    assert_eq!(printed.matches("good ran").count(), 2);
    assert!(!printed.contains("went on after a failure"), "{printed}");
}

#[test]
fn it_succeeds_if_all_parts_do() {
    let (code, printed) = run(&["good", "good"]);
    assert_eq!(sum(&printed), (vec![("good", "passed"), ("good", "passed")], "2 passed, 0 failed"));
    assert_eq!(code, Some(0));
}

#[test]
fn a_signal_ends_all_of_it_after_the_part_has_cleaned_up() {
    for (signal, code) in [("INT", 130), ("TERM", 143), ("HUP", 143)] {
        let mut runner = start(&["good", "endless", "good"]);
        let mut printed = BufReader::new(runner.stdout.take().unwrap());
        let pids: Vec<String> = loop {
            let mut line = String::new();
            assert_ne!(printed.read_line(&mut line).unwrap(), 0, "ended by itself");
            if let Some(pids) = line.strip_prefix("running ") {
                break pids.split_whitespace().map(str::to_owned).collect();
            }
        };
        assert!(
            Command::new("kill")
                .args([&format!("-{signal}"), &runner.id().to_string()])
                .status()
                .unwrap()
                .success()
        );
        let ended = runner.wait().unwrap();
        assert_eq!(ended.code(), Some(code), "by {signal}: {:?}", ended.signal());
        let mut rest = String::new();
        printed.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "cleaned\n");
        for pid in pids {
            // The signal has been sent to all of them; that one ends because of it takes a moment.
            let lives = || {
                fs::read_to_string(format!("/proc/{pid}/stat"))
                    .is_ok_and(|stat| !stat.contains(") Z "))
            };
            let begun = Instant::now();
            while lives() {
                assert!(begun.elapsed() < Duration::from_secs(60), "{pid} outlived {signal}");
                sleep(Duration::from_millis(10));
            }
        }
    }
}

/// The names in `parts+=(…)`: what each word of scripts/test stands for.
fn parts_that_can_run() -> Vec<String> {
    let script = fs::read_to_string("scripts/test").unwrap();
    let lists = script.split("parts+=(").skip(1).map(|rest| rest.split(')').next().unwrap());
    let names = lists.flat_map(str::split_whitespace).filter(|name| !name.starts_with('"'));
    let mut names: Vec<_> = names.map(str::to_owned).collect();
    names.sort();
    names.dedup();
    names
}

#[test]
fn every_part_that_a_word_stands_for_is_one_of_scripts_part_and_can_be_named() {
    let (test, part) =
        ["scripts/test", "scripts/part"].map(|file| fs::read_to_string(file).unwrap()).into();
    let single = test.lines().find(|line| line.contains("parts+=(\"$word\")")).unwrap();
    let single: Vec<_> =
        single.split(')').next().unwrap().split('|').map(|name| name.trim().to_owned()).collect();
    let names = parts_that_can_run();
    assert!(names.len() > 10, "{names:?}");
    for name in names {
        assert!(part.contains(&format!("\n{name}() {{")), "scripts/part has no {name}");
        // A word that stands for more than itself needs no name of its own.
        let stands_for_more = test.contains(&format!("\n    {name}) parts+="));
        assert!(stands_for_more || single.contains(&name), "scripts/test does not take {name}");
    }
}

#[test]
fn a_word_that_is_no_part_is_answered_with_those_that_are() {
    let output = Command::new("scripts/test").arg("nonsense").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let help = String::from_utf8(output.stderr).unwrap();
    for word in ["rust", "clients", "proxy", "browser", "docs", "examples", "ship", "lint"] {
        assert!(help.contains(&format!("scripts/test {word} ")), "{word} in {help}");
    }
    assert!(help.ends_with("scripts/part.\n"), "{help}");
}

//! `tuma template check`, and `tuma send --template`.

use std::fs;

use testkit::sim::{SimConfig, Simulator};
use testkit::wait::{LONG, wait_for};

use crate::program::{Served, Site};

const WELCOME: &str = r#"{
  "variables": { "name": { "type": "text", "max_length": 20 } },
  "locales": { "en": "Karibu {{ name }}", "sw": "It’s {{ name }}" }
}"#;

#[tokio::test]
async fn check_names_the_character_and_its_place_and_fails() {
    let site = Site::bare();
    fs::write(site.path("wrong.json"), WELCOME).unwrap();
    fs::write(site.path("right.json"), WELCOME.replace('’', "'")).unwrap();
    let checked = site.run(&["template", "check", "right.json", "wrong.json"]).await;
    assert_eq!(checked.code, Some(1), "{checked:?}");
    let lines: Vec<_> = checked.stdout.lines().collect();
    assert_eq!(
        lines,
        [
            "right.json: en, variant 0: at most 27 units of gsm7, segments: 1",
            "right.json: sw, variant 0: at most 25 units of gsm7, segments: 1",
            "wrong.json: error: /locales/sw, line 1, column 3 (character 2): ’ (U+2019) is not in GSM-7; with \
             transliterate it is written as \"'\"",
            "wrong.json: en, variant 0: at most 27 units of gsm7, segments: 1",
            "wrong.json: sw, variant 0: at most 25 units of ucs2, segments: 1",
        ]
    );
    assert!(checked.stderr.contains("1 of 2 templates can't be used"), "{}", checked.stderr);
    let right = site.run(&["template", "check", "right.json"]).await;
    assert_eq!(right.code, Some(0), "{}", right.stderr);
    fs::write(site.path("torn.json"), r#"{"locales": {"en": 1}}"#).unwrap();
    let torn = site.run(&["template", "check", "torn.json"]).await;
    assert_eq!(torn.code, Some(1));
    assert!(torn.stdout.starts_with("torn.json: error: locales.en: "), "{}", torn.stdout);
}

/// Another machine, with a key of the gateway.
fn elsewhere(served: &Served, key: &str) -> Site {
    Site::bare().set("TUMA_URL", &format!("http://{}", served.address)).set("TUMA_API_KEY", key)
}

#[tokio::test]
async fn send_makes_a_text_of_a_template() {
    let sim = Simulator::start(SimConfig::default()).await.unwrap();
    let site = Site::new(sim.base_url());
    let key = site.key("sms:send,sms:read").await;
    let served = site.serve().await;
    let there = elsewhere(&served, &key);
    let arguments =
        ["send", "--to", "0712345678", "--template", "otp", "--var", "code=482913", "--locale", "sw"];
    let sent = there.run(&arguments).await;
    assert_eq!(sent.code, Some(0), "{sent:?}");
    assert!(sent.stdout.contains("\"scenario\": \"otp\""), "{}", sent.stdout);
}

/// 250 members, of whom two have no number and one is there twice.
fn members() -> String {
    let mut file = String::from("receiver,inviter,chama,locale\n");
    for n in 0..250 {
        let receiver = match n {
            7 => "12345".to_owned(),
            120 => "nobody".to_owned(),
            200 => "0712000003".to_owned(),
            n => format!("0712{n:06}"),
        };
        let locale = if n % 2 == 0 { "sw" } else { "" };
        file = format!("{file}{receiver},Wanjiku,Umoja {n},{locale}\n");
    }
    file
}

#[tokio::test]
async fn each_row_of_a_file_is_sent_once_however_often_it_is_run() {
    let sim = Simulator::start(SimConfig::default()).await.unwrap();
    let site = Site::new(sim.base_url());
    let key = site.key("sms:send,sms:read").await;
    let served = site.serve().await;
    let there = elsewhere(&served, &key);
    let (file, kept) = (there.path("members.csv"), there.path("members.csv.progress"));
    fs::write(&file, members()).unwrap();
    let arguments = ["send", "--template", "chama_invite", "--csv", "members.csv"];
    let dry = there.run(&[&arguments[..], &["--dry-run"]].concat()).await;
    assert_eq!((dry.code, dry.stdout.as_str()), (Some(1), "247 rows would be sent, 3 not\n"), "{dry:?}");
    assert_eq!(sim.ledger().count(), 0);
    let bad: Vec<_> = dry.stderr.lines().filter(|line| line.starts_with("line ")).collect();
    assert_eq!(bad.len(), 3, "{bad:?}");
    assert!(bad[0].starts_with("line 9: ") && bad[1].starts_with("line 122: "), "{bad:?}");
    assert_eq!(bad[2], "line 202: has the number of line 5");
    for _ in 0..2 {
        let sent = there.run(&arguments).await;
        assert_eq!((sent.code, sent.stdout.as_str()), (Some(1), "247 rows sent, 3 not\n"), "{sent:?}");
    }
    // Without the answers of the second and the third batch, they are asked for again, and nothing is sent twice.
    let progress = fs::read_to_string(&kept).unwrap();
    let cut: String = progress.lines().take(4).flat_map(|line| [line, "\n"]).collect();
    fs::write(&kept, cut).unwrap();
    let again = there.run(&arguments).await;
    assert_eq!(again.stdout, "247 rows sent, 3 not\n", "{again:?}");
    let ids = |progress: &str| {
        progress.lines().filter(|line| line.contains("ended")).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(ids(&fs::read_to_string(&kept).unwrap()), ids(&progress), "the same ids");
    let all = async || (sim.ledger().count() >= 247).then_some(());
    wait_for(all, LONG).await.unwrap();
    assert_eq!(sim.ledger().count(), 247);
    assert!(!progress.contains("\"0712"), "{progress}");
    fs::write(&file, members().replace("Wanjiku", "Otieno")).unwrap();
    let other = there.run(&arguments).await;
    assert!(other.stderr.contains("is of another file"), "{}", other.stderr);
}

const TWO_A_DAY: &str = r#"[{name = "invitations", by = "caller", limit = 2, period_s = 86400}]"#;

#[tokio::test]
async fn what_a_limit_refuses_is_asked_for_again_and_nothing_else() {
    let sim = Simulator::start(SimConfig::default()).await.unwrap();
    let site = Site::new(sim.base_url()).set("TUMA_LIMITS__RULES", TWO_A_DAY);
    let key = site.key("sms:send,sms:read").await;
    let served = site.serve().await;
    let there = elsewhere(&served, &key);
    let rows = "receiver,inviter,chama\r\n0712000001,A,U\r\n0712000002,B,U\r\n12,C,U\r\n0712000004,D,U\r\n0712000005,E,U\r\n";
    fs::write(there.path("members.csv"), rows).unwrap();
    let arguments = ["send", "--template", "chama_invite", "--csv", "members.csv"];
    let sent = there.run(&arguments).await;
    assert_eq!((sent.code, sent.stdout.as_str()), (Some(1), "2 rows sent, 3 not\n"), "{sent:?}");
    let lines: Vec<_> =
        sent.stderr.lines().filter_map(|line| line.split_once(": ").map(|(at, _)| at)).collect();
    assert_eq!(lines.get(..3), Some(&["line 4", "line 5", "line 6"][..]), "{}", sent.stderr);
    assert!(sent.stderr.contains("2 of them were refused for now"), "{}", sent.stderr);
    // A dry run says so, too.
    let dry = there.run(&[&arguments[..], &["--dry-run"]].concat()).await;
    assert_eq!((dry.code, dry.stdout.as_str()), (Some(1), "0 rows would be sent, 5 not\n"), "{dry:?}");
    assert!(dry.stderr.contains("line 2: ") && dry.stderr.contains("invitations"), "{}", dry.stderr);
    served.terminate().await;
    served.ended().await;
    let site = site.set("TUMA_LIMITS__RULES", "[]");
    let served = site.serve().await;
    let there = there.set("TUMA_URL", &format!("http://{}", served.address));
    let elsewhere = there.run(&arguments).await;
    assert!(elsewhere.stderr.contains("says what was sent by http://"), "{}", elsewhere.stderr);
    // Where it answers now is where it answered before.
    let kept = there.path("members.csv.progress");
    let progress = fs::read_to_string(&kept).unwrap();
    let (first, rest) = progress.split_once('\n').unwrap();
    let (before, _) = first.split_once("\"gateway\"").unwrap();
    fs::write(&kept, format!("{before}\"gateway\":\"http://{}\"}}}}\n{rest}", served.address)).unwrap();
    for _ in 0..2 {
        let sent = there.run(&arguments).await;
        assert_eq!((sent.code, sent.stdout.as_str()), (Some(1), "4 rows sent, 1 not\n"), "{sent:?}");
    }
    let all = async || (sim.ledger().count() >= 4).then_some(());
    wait_for(all, LONG).await.unwrap();
    assert_eq!(sim.ledger().count(), 4, "each row once");
    assert!(!fs::read_to_string(&kept).unwrap().contains(&key), "the key is not kept");
}

const ONE_A_DAY_EACH: &str =
    r#"[{name = "invitations", scenarios = ["chama_invite"], by = "receiver", limit = 1, period_s = 86400}]"#;

#[tokio::test]
async fn batch_of_receivers_who_get_no_more_today_keeps_nobody_behind_it_waiting() {
    let sim = Simulator::start(SimConfig::default()).await.unwrap();
    let site = Site::new(sim.base_url()).set("TUMA_LIMITS__RULES", ONE_A_DAY_EACH);
    let key = site.key("sms:send,sms:read").await;
    let served = site.serve().await;
    let there = elsewhere(&served, &key);
    let rows = |numbers: std::ops::Range<u32>| {
        numbers.fold(String::new(), |rows, n| format!("{rows}0712{n:06},A,U\n"))
    };
    let columns = "receiver,inviter,chama\n";
    fs::write(there.path("first.csv"), format!("{columns}{}", rows(0..99))).unwrap();
    // A hundred of whom none is left, and three behind them.
    let second = format!("{columns}{}12,A,U\n{}", rows(0..99), rows(99..102));
    fs::write(there.path("second.csv"), second).unwrap();
    let send = |file: &'static str| ["send", "--template", "chama_invite", "--csv", file];
    let first = there.run(&send("first.csv")).await;
    assert_eq!((first.code, first.stdout.as_str()), (Some(0), "99 rows sent, 0 not\n"), "{first:?}");
    // What is refused for now is asked for again by the next run, and what was sent is not.
    for _ in 0..2 {
        let second = there.run(&send("second.csv")).await;
        assert_eq!((second.code, second.stdout.as_str()), (Some(1), "3 rows sent, 100 not\n"), "{second:?}");
        let said = |line: &str| second.stderr.lines().find(|said| said.starts_with(line)).unwrap().to_owned();
        assert!(said("line 2: ").contains("invitations"), "{second:?}");
        assert!(said("line 101: ").contains("too short"), "{second:?}");
        assert!(second.stderr.contains("99 of them were refused for now"), "{second:?}");
    }
    let all = async || (sim.ledger().count() >= 102).then_some(());
    wait_for(all, LONG).await.unwrap();
    assert_eq!(sim.ledger().count(), 102, "each number once");
}

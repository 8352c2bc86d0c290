//! `tuma audit`: the program finds what somebody has changed who has the database, and names the first broken entry.

use reqwest::Method;
use serde_json::{Value, json};
use testkit::database::Database;
use testkit::sim::{SimConfig, Simulator};
use testkit::wait::{LONG, wait_for, wait_until};

use crate::app::{AMERICAN, text};
use crate::program::{Finished, Served, Site};

/// Messages in a trail: each is accepted, sent and delivered, or on its way there.
const MESSAGES: usize = 8;

struct Trail {
    sim: Simulator,
    site: Site,
    database: Database,
}

/// Changes the tables as somebody does who has the database, and no key.
fn execute(database: &Database, sql: &str) {
    let (url, sql) = (database.url().to_owned(), sql.to_owned());
    let run = move || match url.strip_prefix("sqlite:") {
        Some(path) => rusqlite::Connection::open(path).unwrap().execute_batch(&sql).unwrap(),
        None => postgres::Client::connect(&url, postgres::NoTls).unwrap().batch_execute(&sql).unwrap(),
    };
    std::thread::spawn(run).join().unwrap();
}

/// A trail of a gateway that has stopped.
async fn trail(database: Database) -> Trail {
    let sim = Simulator::start(SimConfig::default()).await.unwrap();
    let site = Site::new(sim.base_url()).set("TUMA_DATABASE_URL", database.url());
    let key = site.key("admin").await;
    let served = site.serve().await;
    for number in 0..MESSAGES {
        let body = json!({"receiver": AMERICAN, "message": format!("Habari {number}")});
        let answer = served.request(Method::POST, "/sms").key(&key).json(&body).send().await;
        assert_eq!(answer.status, 202, "{}", answer.text);
        let id = text(&answer.json()["id"]);
        let is_sent = async || {
            let shown = served.request(Method::GET, &format!("/sms/{id}")).key(&key).send().await.json();
            (shown["status"] == "sent").then_some(())
        };
        wait_for(is_sent, LONG).await.unwrap();
    }
    stop(served).await;
    Trail { sim, site, database }
}

async fn stop(served: Served) {
    served.terminate().await;
    assert_eq!(served.ended().await.code, Some(0));
}

impl Trail {
    async fn verify(&self) -> Finished {
        self.site.run(&["audit", "verify"]).await
    }

    async fn holds(&self) -> String {
        let verified = self.verify().await;
        assert_eq!(verified.code, Some(0), "{}{}", verified.stdout, verified.stderr);
        verified.stdout
    }

    /// Verifies after a change, and then takes it back.
    async fn is_broken(&self, change: &str, expected: &str) {
        let kept =
            "CREATE TABLE kept AS SELECT * FROM audit; CREATE TABLE kept_heads AS SELECT * FROM audit_heads";
        let back = "DELETE FROM audit; INSERT INTO audit SELECT * FROM kept; DROP TABLE kept; \
             DELETE FROM audit_heads; INSERT INTO audit_heads SELECT * FROM kept_heads; DROP TABLE kept_heads";
        execute(&self.database, kept);
        execute(&self.database, change);
        let verified = self.verify().await;
        assert_eq!(verified.code, Some(1), "{change}: {}", verified.stdout);
        assert!(verified.stdout.starts_with(expected), "{change}: {}", verified.stdout);
        execute(&self.database, back);
        self.holds().await;
    }

    /// Entries of the export.
    async fn exported(&self, arguments: &[&str]) -> Vec<Value> {
        let run = self.site.run(&[&["audit", "export"], arguments].concat()).await;
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        run.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

async fn what_was_changed_is_found_and_named(trail: Trail) {
    let entries = 2 * MESSAGES + 1;
    let held = trail.holds().await;
    assert!(held.starts_with(&format!("{entries} entries in ")), "{held}");
    // The chain with the most of them, and one of its entries in the middle.
    let exported = trail.exported(&[]).await;
    let entry = exported.iter().rfind(|line| line["kind"] == "entry" && line["seq"] == 5);
    let chain = entry.unwrap()["chain"].as_i64().unwrap();
    let last = exported.iter().rfind(|line| line["kind"] == "entry" && line["chain"] == chain).unwrap();
    let last = last["seq"].as_i64().unwrap();
    let at = text(&entry.unwrap()["at"]);
    let here = format!("WHERE chain = {chain} AND seq");

    let named = |seq: i64| format!("chain {chain}, entry {seq}, ");
    for (column, value) in
        [("event", "'sms.refused'"), ("outcome", "'x'"), ("at", "at + 1"), ("receiver", "1")]
    {
        let change = format!("UPDATE audit SET {column} = {value} {here} = 5");
        trail.is_broken(&change, &named(5)).await;
    }
    let change = format!("UPDATE audit SET actor = 'system2' {here} = 5");
    trail.is_broken(&change, &format!("chain {chain}, entry 5, {at}: content")).await;
    let cut = (last - 10).max(1);
    let change = format!("DELETE FROM audit {here} > {cut}");
    let verified = format!("chain {chain}, entry {}, after ", cut + 1);
    trail.is_broken(&change, &verified).await;
    trail.is_broken(&format!("DELETE FROM audit {here} = 4"), &named(4)).await;
    let swap = format!(
        "UPDATE audit SET seq = 1000 {here} = 2; UPDATE audit SET seq = 2 {here} = 3; UPDATE audit SET seq = 3 {here} = 1000"
    );
    trail.is_broken(&swap, &named(2)).await;
    let back = format!("UPDATE audit_heads SET seq = seq - 1 WHERE chain = {chain}");
    trail.is_broken(&back, &format!("chain {chain}, head: head changed")).await;
    // All of it: messages and keys are still there.
    let all = "DELETE FROM audit; DELETE FROM audit_heads; DELETE FROM audit_checkpoints";
    execute(&trail.database, all);
    let verified = trail.verify().await;
    assert_eq!(verified.code, Some(1), "{}", verified.stdout);
    assert!(verified.stdout.starts_with("there is no entry, though"), "{}", verified.stdout);
    trail.sim.stop().await;
}

#[tokio::test]
async fn what_was_changed_in_a_file_is_found_and_named() {
    what_was_changed_is_found_and_named(trail(Database::in_a_file()).await).await;
}

#[tokio::test]
async fn what_was_changed_on_postgresql_is_found_and_named() {
    what_was_changed_is_found_and_named(trail(Database::on_postgres()).await).await;
}

#[tokio::test]
async fn checkpoint_is_logged_when_it_stops_and_a_kept_one_must_be_there() {
    let sim = Simulator::start(SimConfig::default()).await.unwrap();
    let site = Site::new(sim.base_url());
    site.key("admin").await;
    let served = site.serve().await;
    served.terminate().await;
    let stopped = served.ended().await;
    let line = stopped.stderr.lines().find(|line| line.contains("audit.checkpoint")).unwrap();
    let hash: String =
        line.split("hash").nth(1).unwrap().chars().filter(char::is_ascii_hexdigit).take(64).collect();
    let verified = site.run(&["audit", "verify", "--checkpoint", &hash]).await;
    assert_eq!(verified.code, Some(0), "{}{}", verified.stdout, verified.stderr);
    assert!(verified.stdout.contains(&hash), "{}", verified.stdout);
    let other = site.run(&["audit", "verify", "--checkpoint", &"0".repeat(64)]).await;
    assert_eq!(other.code, Some(1));
    assert!(other.stderr.contains("put back"), "{}", other.stderr);
}

#[tokio::test]
async fn export_holds_by_itself_and_holds_no_number_and_no_text() {
    let trail = trail(Database::in_a_file()).await;
    let exported = trail.site.run(&["audit", "export"]).await.stdout;
    assert!(!exported.contains("Habari") && !exported.contains("4155550100"), "{exported}");
    let path = trail.site.path("export.jsonl");
    let verify = async |lines: &[&str]| {
        std::fs::write(&path, lines.join("\n")).unwrap();
        trail.site.run(&["audit", "verify", "--file", "export.jsonl"]).await
    };
    let lines: Vec<&str> = exported.lines().collect();
    let held = verify(&lines).await;
    assert_eq!(held.code, Some(0), "{}{}", held.stdout, held.stderr);
    // The first line says what is in it, so the fourth entry is the fifth line.
    let without = [&lines[..4], &lines[5..]].concat();
    let broken = verify(&without).await;
    assert_eq!(broken.code, Some(1));
    assert!(broken.stdout.contains("entry 4: missing"), "{}", broken.stdout);
    let changed = lines[4].replace("\"segments\":1", "\"segments\":2").replace("sms.sent", "sms.failed");
    let with = [&lines[..4], &[changed.as_str()], &lines[5..]].concat();
    let broken = verify(&with).await;
    assert!(broken.stdout.contains("entry 4, ") && broken.stdout.contains("content"), "{}", broken.stdout);
    // A part of it holds as well, and so does the other form tell the same.
    let since = text(&serde_json::from_str::<Value>(lines[6]).unwrap()["at"]);
    let part = trail.site.run(&["audit", "export", "--since", &since]).await.stdout;
    let held = verify(&part.lines().collect::<Vec<_>>()).await;
    assert_eq!(held.code, Some(0), "{}{}", held.stdout, held.stderr);
    let csv = trail.site.run(&["audit", "export", "--format", "csv"]).await.stdout;
    // A line of names stands in the place of what is in the other form.
    assert_eq!(csv.lines().count(), lines.len());
    assert!(csv.starts_with("kind,chain,seq,at,"), "{csv}");
}

#[tokio::test]
async fn what_was_taken_out_of_an_export_is_missed_be_it_an_end_a_chain_or_a_checkpoint() {
    let trail = trail(Database::in_a_file()).await;
    let exported = trail.site.run(&["audit", "export"]).await.stdout;
    let lines: Vec<&str> = exported.lines().collect();
    let path = trail.site.path("export.jsonl");
    let verify = async |lines: Vec<&str>| {
        std::fs::write(&path, lines.join("\n")).unwrap();
        let verified = trail.site.run(&["audit", "verify", "--file", "export.jsonl"]).await;
        assert_eq!(verified.code, Some(1), "{}", verified.stdout);
        verified.stdout + &verified.stderr
    };
    let without =
        |is_out: &dyn Fn(&str) -> bool| lines.iter().copied().filter(|line| !is_out(line)).collect();
    let is_entry = |line: &str| line.starts_with("{\"kind\":\"entry\",\"chain\":1,");
    let of_chain = lines.iter().filter(|line| is_entry(line)).count();
    let last = lines.iter().copied().rfind(|line| is_entry(line)).unwrap();
    let end = verify(without(&|line| line == last)).await;
    assert!(end.contains(&format!("chain 1, entry {of_chain}: tail cut")), "{end}");
    let chain = verify(without(&is_entry)).await;
    assert!(chain.contains("chain 1, entry 1: tail cut"), "{chain}");
    let checkpoints = verify(without(&|line| line.contains("\"kind\":\"checkpoint\""))).await;
    assert!(checkpoints.contains("checkpoint 1: tail cut"), "{checkpoints}");
    let first = verify(lines[1..].to_vec()).await;
    assert!(first.contains("does not say what is in it"), "{first}");
    // Nor can the first line be made to say less.
    let less = lines[0].replace("\"since_us\":null", "\"since_us\":1");
    assert_ne!(less, lines[0]);
    let less = verify([&[less.as_str()], &lines[1..]].concat()).await;
    assert!(less.contains("first line: signature"), "{less}");
}

#[tokio::test]
async fn tail_shows_the_newest_and_follows() {
    let sim = Simulator::start(SimConfig::default()).await.unwrap();
    let site = Site::new(sim.base_url());
    site.key("admin").await;
    site.key("sms:send").await;
    let newest = site.run(&["audit", "tail", "-n", "1"]).await;
    assert_eq!(newest.stdout.lines().count(), 1, "{}", newest.stdout);
    let (child, printed) = site.start(&["audit", "tail", "-f"]);
    wait_until(|| printed().matches("key.created").count() == 2, LONG).await.unwrap();
    site.key("sms:read").await;
    wait_until(|| printed().matches("key.created").count() == 3, LONG).await.unwrap();
    crate::program::signal(&child, "TERM").await;
}

#[tokio::test]
async fn export_holds_for_whoever_has_its_key_and_for_no_other_database() {
    let trail = trail(Database::in_a_file()).await;
    let exported = trail.site.run(&["audit", "export"]).await.stdout;
    let last: Value = serde_json::from_str(exported.lines().last().unwrap()).unwrap();
    let verify = async |site: &Site, more: &[&str]| {
        std::fs::write(site.path("export.jsonl"), &exported).unwrap();
        site.run(&[&["audit", "verify", "--file", "export.jsonl"], more].concat()).await
    };
    let other = Site::new(trail.sim.base_url());
    other.key("admin").await;
    let refused = verify(&other, &[]).await;
    assert_eq!(refused.code, Some(1));
    assert!(refused.stdout.contains("signature"), "{}", refused.stdout);
    // There is no database where the auditor works.
    let held = verify(&Site::bare(), &["--public-key", &text(&last["public_key"])]).await;
    assert_eq!(held.code, Some(0), "{}{}", held.stdout, held.stderr);
}

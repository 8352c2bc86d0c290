//! `tuma opt-out`.

use testkit::sim::{SimConfig, Simulator};

use crate::app::{AMERICAN, KENYAN};
use crate::program::Site;

#[tokio::test]
async fn export_tells_of_opt_outs_that_it_can_not_name() {
    let sim = Simulator::start(SimConfig::default()).await.unwrap();
    let site = Site::new(sim.base_url());
    let list = site.path("list.csv");
    std::fs::write(&list, format!("number,sender,extent\n{KENYAN},,all\n{AMERICAN},TUMA,promotional\n"))
        .unwrap();
    let ran = async |arguments: &[&str]| {
        let done = site.run(arguments).await;
        assert_eq!(done.code, Some(0), "{arguments:?}: {}", done.stderr);
        done
    };
    ran(&["migrate"]).await;
    ran(&["opt-out", "import", list.to_str().unwrap()]).await;
    let whole = ran(&["opt-out", "export"]).await;
    assert!(!whole.stderr.contains("forgotten"), "{}", whole.stderr);
    ran(&["forget", KENYAN]).await;
    let exported = ran(&["opt-out", "export"]).await;
    assert_eq!(exported.stdout, format!("number,sender,extent\n{AMERICAN},TUMA,promotional\n"));
    assert!(exported.stderr.contains("1 more hold of people who were forgotten"), "{}", exported.stderr);
}

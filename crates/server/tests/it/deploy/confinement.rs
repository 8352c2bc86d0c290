//! Nothing that is run may do more than it must: no root, no capability, nothing to write but its own folder.

use serde_json::{Value, json};

use super::files::{Files, Findings, text};

/// What the unit must say, word for word.
const UNIT: &[&str] = &[
    "NoNewPrivileges=yes",
    "CapabilityBoundingSet=",
    "ProtectSystem=strict",
    "ProtectHome=yes",
    "PrivateTmp=yes",
    "PrivateDevices=yes",
    "ProtectKernelModules=yes",
    "ProtectKernelTunables=yes",
    "ProtectControlGroups=yes",
    "RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX",
    "RestrictNamespaces=yes",
    "RestrictSUIDSGID=yes",
    "MemoryDenyWriteExecute=yes",
    "SystemCallFilter=@system-service",
    "StateDirectory=tuma",
    "Restart=on-failure",
];

pub(super) fn check(files: &Files, findings: &mut Findings) {
    check_images(files, findings);
    check_compose(files, findings);
    check_pods(files, findings);
    check_unit(files, findings);
}

/// Every image that is run ends as a numbered user: Kubernetes can't tell who a name is.
fn check_images(files: &Files, findings: &mut Findings) {
    for path in ["docker/Dockerfile", "compose/nats.Dockerfile"] {
        let stages = files.stages(path);
        let built: Vec<&str> = stages.iter().map(|stage| stage.image.as_str()).collect();
        let is_run = |name: &str| !name.starts_with("build") && (name.is_empty() || !built.contains(&name));
        for stage in stages.iter().filter(|stage| is_run(&stage.name)) {
            let user = stage.all("USER").last().unwrap_or_default();
            findings.unless(is_somebody(user), format_args!("{path}: {} runs as root", stage.name));
        }
    }
}

/// `<number>:<number>`, and neither is root's.
fn is_somebody(user: &str) -> bool {
    user.split_once(':').is_some_and(|(user, group)| {
        [user, group].iter().all(|id| id.parse::<u32>().is_ok_and(|number| number > 0))
    })
}

fn check_compose(files: &Files, findings: &mut Findings) {
    let compose = files.yaml("compose/compose.yaml");
    for (name, service) in compose["services"].as_object().into_iter().flatten() {
        let mut must =
            |holds: bool, what: &str| findings.unless(holds, format_args!("compose.yaml: {name}: {what}"));
        must(is_somebody(text(&service["user"])), "runs as root");
        must(service["read_only"] == true, "may write its root file system");
        must(service["cap_drop"] == json!(["ALL"]), "keeps capabilities");
        must(service["security_opt"] == json!(["no-new-privileges:true"]), "may gain privileges");
        must(service["privileged"].is_null() && service["cap_add"].is_null(), "has privileges");
        must(service["restart"] == "unless-stopped", "is not started again");
        let limits = &service["deploy"]["resources"]["limits"];
        must(["cpus", "memory", "pids"].iter().all(|key| !limits[key].is_null()), "has no limits");
        let is_asked = service["healthcheck"]["test"].is_array() || !service["profiles"].is_null();
        must(is_asked, "is not asked whether it is well");
        for (other, waits) in service["depends_on"].as_object().into_iter().flatten() {
            must(waits["condition"] == "service_healthy", &format!("does not wait for {other}"));
        }
        for port in service["ports"].as_array().into_iter().flatten() {
            must(text(port).starts_with("${PUBLISH:-127.0.0.1:"), "is published to other machines");
        }
    }
    findings.unless(compose["networks"]["back"]["internal"] == true, "compose.yaml: the back has a way out");
}

fn check_pods(files: &Files, findings: &mut Findings) {
    let deployment = files.yaml("kubernetes/base/gateway/deployment.yaml");
    let pod = &deployment["spec"]["template"]["spec"];
    let mut must = |holds: bool, what: &str| findings.unless(holds, format_args!("deployment.yaml: {what}"));
    let context = &pod["securityContext"];
    must(context["runAsNonRoot"] == true, "may run as root");
    must(["runAsUser", "runAsGroup"].iter().all(|key| context[key].as_u64() > Some(0)), "runs as root");
    must(context["seccompProfile"]["type"] == "RuntimeDefault", "may call all of the kernel");
    must(pod["automountServiceAccountToken"] == false, "has a token of the cluster");
    must(pod["enableServiceLinks"] == false, "gets variables of services, which are no settings");
    let containers = ["initContainers", "containers"].iter().filter_map(|kind| pod[*kind].as_array());
    for container in containers.flatten() {
        let name = text(&container["name"]);
        let context = &container["securityContext"];
        must(context["allowPrivilegeEscalation"] == false, &format!("{name}: may gain privileges"));
        must(context["readOnlyRootFilesystem"] == true, &format!("{name}: may write its root file system"));
        must(context["capabilities"] == json!({"drop": ["ALL"]}), &format!("{name}: keeps capabilities"));
        let resources = &container["resources"];
        let is_limited = !resources["limits"]["memory"].is_null() && resources["requests"].is_object();
        must(is_limited, &format!("{name}: has no limits"));
    }
    let policy = files.yaml("kubernetes/base/around/networkpolicy.yaml");
    let both = policy["spec"]["policyTypes"] == json!(["Ingress", "Egress"]);
    findings.unless(both, "networkpolicy.yaml: does not say who may speak to whom");
    let open = |rule: &Value| rule["from"].as_array().is_none_or(Vec::is_empty);
    let rules = policy["spec"]["ingress"].as_array().cloned().unwrap_or_default();
    findings.unless(!rules.iter().any(open), "networkpolicy.yaml: lets everybody in");
}

fn check_unit(files: &Files, findings: &mut Findings) {
    let unit = files.text("systemd/tuma.service");
    for line in UNIT {
        findings.unless(unit.lines().any(|it| it == *line), format_args!("tuma.service: not {line}"));
    }
    let variables = files.variables("systemd/tuma.service");
    let user = variables.iter().find(|(name, _)| name == "User").map(|(_, user)| user.as_str());
    let made = user.is_some_and(|user| {
        let makes = format!("u {user} ");
        user != "root" && files.text("systemd/tuma.sysusers").lines().any(|line| line.starts_with(&makes))
    });
    findings.unless(made, "tuma.service: the user is root, or is not made by tuma.sysusers");
}

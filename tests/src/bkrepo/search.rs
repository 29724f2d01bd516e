//! `node/search`: rules within rules. [BKREPO docs/apidoc/common/search.md]

use axum::body::Body;
use axum::http::Response;
use serde_json::{Map, Value};

use super::answer::{self, Refusal, Stop};
use super::auth::Action;
use super::call::Call;
use super::lock;

impl Call<'_> {
    /// Every node that the rule fits, of the repositories that may be read. The rule must say which project.
    pub(super) fn search(&self, model: &Value) -> Result<Response<Body>, Stop> {
        let rule = &model["rule"];
        let top = rule["rules"].as_array().ok_or_else(|| Refusal::parameter("rule"))?;
        if !top.iter().any(|rule| rule["field"] == "projectId" && rule["value"].is_string()) {
            return Err(Refusal::parameter("projectId").into());
        }
        let size = model["page"]["pageSize"].as_u64().unwrap_or(20);
        if size == 0 || size > self.server.setup.page_limit {
            return Err(Refusal::parameter("pageSize").into());
        }
        let store = lock(&self.server.store);
        let mut rows = Vec::new();
        for ((project, name), repository) in &store.repositories {
            if store.check(self.release(), &self.who, (project, name), Action::Read).is_err() {
                continue;
            }
            for (path, node) in repository.below("/") {
                let mut row = node.info((project, name), path, true);
                row["repoType"] = Value::from(repository.kind.as_str());
                if fits(rule, &row)? {
                    rows.push(row);
                }
            }
        }
        sort(&mut rows, &model["sort"]);
        let rows = rows.into_iter().map(|row| select(row, &model["select"])).collect();
        let number = model["page"]["pageNumber"].as_u64().unwrap_or(1);
        Ok(answer::success(&answer::page(rows, number, size)))
    }
}

fn fits(rule: &Value, row: &Value) -> Result<bool, Refusal> {
    if let Some(rules) = rule["rules"].as_array() {
        let each: Vec<bool> = rules.iter().map(|rule| fits(rule, row)).collect::<Result<_, _>>()?;
        return match rule["relation"].as_str().unwrap_or("AND") {
            "AND" => Ok(each.iter().all(|fits| *fits)),
            "OR" => Ok(each.iter().any(|fits| *fits)),
            "NOR" => Ok(!each.iter().any(|fits| *fits)),
            _ => Err(Refusal::parameter("relation")),
        };
    }
    let field = rule["field"].as_str().ok_or_else(|| Refusal::parameter("field"))?;
    let value = match field.strip_prefix("metadata.") {
        Some(key) => &row["metadata"][key],
        None => &row[field],
    };
    let wanted = &rule["value"];
    let texts = || (text(value), text(wanted));
    Ok(match rule["operation"].as_str().unwrap_or("EQ") {
        "EQ" => same(value, wanted),
        "NE" => !same(value, wanted),
        "IN" => any(wanted, value),
        "NIN" => !any(wanted, value),
        "PREFIX" => texts().0.starts_with(&texts().1),
        "SUFFIX" => texts().0.ends_with(&texts().1),
        "MATCH" => matches(&texts().0, &texts().1),
        "NULL" => value.is_null(),
        "NOT_NULL" => !value.is_null(),
        "GT" => value.as_u64() > wanted.as_u64(),
        "GTE" => value.as_u64() >= wanted.as_u64(),
        "LT" => value.as_u64() < wanted.as_u64(),
        "LTE" => value.as_u64() <= wanted.as_u64(),
        _ => return Err(Refusal::parameter("operation")),
    })
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// `"false"` is as good as `false`, as the documentation's own example has it.
fn same(value: &Value, wanted: &Value) -> bool {
    text(value) == text(wanted)
}

fn any(list: &Value, value: &Value) -> bool {
    list.as_array().is_some_and(|list| list.iter().any(|wanted| same(value, wanted)))
}

/// Whether the text has the pattern's pieces between `*` in their order.
fn matches(text: &str, pattern: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return text == pattern };
    let Some(mut left) = text.strip_prefix(first) else { return false };
    let (middle, last) = rest.rsplit_once('*').unwrap_or(("", rest));
    for piece in middle.split('*') {
        let Some(at) = left.find(piece) else { return false };
        left = &left[at + piece.len()..];
    }
    left.ends_with(last)
}

fn sort(rows: &mut [Value], sort: &Value) {
    let properties = sort["properties"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let properties: Vec<&str> = properties.collect();
    rows.sort_by(|one, other| {
        let compare = |property: &&str| match (one[*property].as_u64(), other[*property].as_u64()) {
            (Some(one), Some(other)) => one.cmp(&other),
            _ => text(&one[*property]).cmp(&text(&other[*property])),
        };
        properties.iter().map(compare).find(|order| order.is_ne()).unwrap_or(std::cmp::Ordering::Equal)
    });
    if sort["direction"] == "DESC" {
        rows.reverse();
    }
}

fn select(row: Value, fields: &Value) -> Value {
    let Some(fields) = fields.as_array().filter(|fields| !fields.is_empty()) else { return row };
    let chosen = fields.iter().filter_map(Value::as_str).map(|field| (field.to_owned(), row[field].clone()));
    Value::Object(chosen.collect::<Map<_, _>>())
}

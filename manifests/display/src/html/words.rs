//! Every sentence of the report, in English and in Chinese. Both are fields of one value, so that a sentence that lacks one
//! of them does not compile.
//!
//! What the engine says (names, reasons, errors) is shown as it is, in both.

use std::borrow::Cow;

use ferry_model::failure::Class;
use ferry_model::plan::Action;
use ferry_model::report::{Finding, Outcome, Severity};

/// One sentence in both languages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Words {
    pub(super) english: Cow<'static, str>,
    pub(super) chinese: Cow<'static, str>,
}

const fn both(english: &'static str, chinese: &'static str) -> Words {
    Words { english: Cow::Borrowed(english), chinese: Cow::Borrowed(chinese) }
}

fn said(english: String, chinese: String) -> Words {
    Words { english: english.into(), chinese: chinese.into() }
}

macro_rules! words {
    ($($name:ident = $english:literal, $chinese:literal;)*) => {
        $(pub(super) const $name: Words = both($english, $chinese);)*
    };
}

words! {
    REPORT = "Change report", "变更报告";
    // Sections.
    FAILED = "What failed", "失败项";
    BY_HAND = "Left to do by hand", "待人工处理";
    CONTENTS = "What was in the bundle", "包内容";
    CHECKS = "What was checked", "检查结果";
    CHANGES = "What was changed", "变更明细";
    TIMINGS = "Where the time went", "耗时";
    SIGN_OFF = "Sign-off", "签署";
    // Facts.
    BUNDLE = "Bundle", "离线包";
    CATALOG = "Catalog digest", "清单摘要";
    SIGNATURE = "Signature", "签名";
    COMPLETENESS = "Completeness", "完整性";
    SITE = "Site", "站点";
    SITE_FILE = "Site file digest", "站点文件摘要";
    RUN = "Run", "执行编号";
    BEGAN = "Began", "开始时间";
    ENDED = "Ended", "结束时间";
    CUT_OFF = "cut off before its end", "中途中断，未正常结束";
    PROGRAM = "Written by", "生成程序";
    UNSIGNED = "Not signed. Nobody vouches for this bundle; only the digest of its catalog tells which one it is.",
        "未签名。没有签名者为该离线包背书，仅能凭清单摘要确认其身份。";
    UNCHECKED = "Signed, but the signature was not checked.", "已签名，但未校验签名。";
    VERIFIED = "Signed; the signature was checked and is valid.", "已签名，签名校验通过。";
    NOT_KNOWN = "Not known: what was noted of the bundle when the run began is no longer on record.",
        "不详：执行开始时对该离线包的记录已不存在。";
    KEY = "Key", "密钥";
    COMMENT = "Signed comment", "签名注释";
    COMPLETE = "Nothing is missing.", "内容完整，无缺失。";
    // The strip.
    DONE = "done", "已完成";
    FAILED_COUNT = "failed", "失败";
    NOT_TRIED = "not tried", "未执行";
    UNDONE = "undone", "已回滚";
    LEFT = "not undone", "未能回滚";
    UNCHANGED = "already right", "无需变更";
    MOVED = "moved", "传输量";
    DURATION = "duration", "总耗时";
    // Contents.
    KIND = "Kind", "类型";
    NAME = "Name", "名称";
    SIZE = "Size", "大小";
    COUNT = "Number", "数量";
    SHARE = "Share", "占比";
    DIGEST = "Digest", "摘要";
    TOTAL = "Total", "合计";
    LARGEST = "The largest", "体积最大的内容";
    NOTHING_INSIDE = "The bundle is empty.", "离线包中没有内容。";
    PICTURE_NOTE = "Each area is as large as its share of the bytes.", "面积与所占字节数成正比。";
    // Checks.
    CHECK = "Check", "检查项";
    SEVERITY = "Weight", "级别";
    FOUND = "Found", "检查所见";
    REASON = "Why it matters", "为何重要";
    REMEDY = "What to do", "处理办法";
    NO_CHECKS = "No checks are on record for this run.", "本次执行没有检查记录。";
    // Changes.
    STEP = "Step", "步骤";
    CHANGE = "Change", "变更";
    BEFORE_AFTER = "Before → after", "变更前 → 变更后";
    BYTES_TIME = "Bytes, time", "传输量与耗时";
    ABSENT = "absent", "不存在";
    PRESENT = "present", "已存在";
    UNKNOWN_STATE = "unknown", "未知";
    AS_BEFORE = "as before", "保持原状";
    RESTORED = "as before", "已恢复原状";
    NOT_RECORDED = "not on record", "未记录";
    NO_CHANGES = "Nothing was changed.", "没有任何变更。";
    LANGUAGE_NOTE = "Names, reasons and errors are shown as the program recorded them.",
        "名称、原因、错误信息等均按程序记录的原文显示。";
    CLASS = "Kind of failure: ", "失败类型：";
    TRY = "What to try", "处理建议";
    // Timings.
    TIME = "Time", "耗时";
    BYTES = "Bytes", "传输量";
    RATE = "Rate", "速率";
    // The end.
    NOTHING_BY_HAND = "Nothing.", "无。";
    ROLE = "Role", "角色";
    PERSON = "Name", "姓名";
    SIGNED = "Signature", "签字";
    DATE = "Date", "日期";
    CARRIED_OUT = "Carried out by", "实施人";
    REVIEWED = "Reviewed by", "复核人";
    APPROVED = "Approved by", "审批人";
    REMARKS = "Remarks", "备注";
    ORIGIN = "Made from report.json of the same run, which holds everything in full.",
        "本文由同一次执行的 report.json 生成，完整数据以该文件为准。";
}

/// The languages, each by its own name.
pub(super) const ENGLISH: &str = "English";
/// See [`ENGLISH`].
pub(super) const CHINESE: &str = "中文";

/// What became of a step.
pub(super) fn outcome(outcome: Outcome) -> Words {
    match outcome {
        Outcome::Done => DONE,
        Outcome::Failed => FAILED_COUNT,
        Outcome::NotTried => NOT_TRIED,
        Outcome::Undone => UNDONE,
        Outcome::Left => LEFT,
    }
}

/// What a step does.
pub(super) fn action(action: Action) -> Words {
    match action {
        Action::Create => both("create", "新建"),
        Action::Update => both("update", "修改"),
        Action::Restart => both("restart", "重启"),
        Action::Check => both("check", "验证"),
    }
}

/// How much a check matters.
pub(super) fn severity(severity: Severity) -> Words {
    match severity {
        Severity::Required => both("required", "必须"),
        Severity::Advised => both("advised", "建议"),
    }
}

/// What checks found out.
pub(super) fn finding(finding: Finding) -> Words {
    match finding {
        Finding::Passed => both("Passed", "通过"),
        Finding::Failed => both("Failed", "未通过"),
        Finding::Unknown => both("Could not be checked (that is no pass)", "无法检查（不等于通过）"),
    }
}

/// What kind of failure it is.
pub(super) fn class(class: Class) -> Words {
    match class {
        Class::Usage => both("command line", "命令行有误"),
        Class::Input => both("site or bundle definition", "输入文件有误"),
        Class::NotFound => both("not found", "目标不存在"),
        Class::Denied => both("refused", "被拒绝"),
        Class::RateLimited => both("asked to slow down", "被限流"),
        Class::Transient => both("failure of the moment", "临时故障"),
        Class::Protocol => both("unexpected answer", "应答不符合协议"),
        Class::Verification => both("verification", "校验不通过"),
        Class::Local => both("this machine", "本机问题"),
        Class::Internal => both("fault of the program", "程序内部错误"),
    }
}

/// A kind of content; one that this version does not know is shown by its own name.
pub(super) fn kind(kind: &str) -> Words {
    match kind {
        "image" => both("image", "镜像"),
        "chart" => both("chart", "Chart"),
        "runtime" => both("runtime", "运行时"),
        "saas" => both("SaaS package", "SaaS 包"),
        "file" => both("file", "文件"),
        other => said(other.to_owned(), other.to_owned()),
    }
}

/// What a bar begins and ends with.
pub(super) fn axis(end: &str) -> Words {
    said(format!("0 – {end}"), format!("0 – {end}"))
}

/// `10,000`.
pub(super) fn number(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 step`, `2 steps`.
fn several(count: usize, one: &str) -> String {
    format!("{} {one}{}", number(count), if count == 1 { "" } else { "s" })
}

/// How many steps there are of each outcome, and what that means in a sentence.
pub(super) mod verdict {
    use super::{Words, both, number, said, several};

    pub(in super::super) fn all_done(count: usize) -> Words {
        let english = if count == 1 {
            "The one step is done.".into()
        } else {
            format!("All {} steps are done.", number(count))
        };
        said(english, format!("全部 {} 个步骤均已完成。", number(count)))
    }

    pub(in super::super) fn nothing_to_do() -> Words {
        both("Nothing to do: everything was as it should be.", "无需变更：各项均已符合要求。")
    }

    pub(in super::super) fn blocked(checks: usize) -> Words {
        said(
            format!("Nothing was changed: {} did not pass.", several(checks, "required check")),
            format!("未做任何变更：{} 项必须检查未通过。", number(checks)),
        )
    }

    pub(in super::super) fn all_undone(count: usize) -> Words {
        let english = if count == 1 {
            "The one step was undone.".into()
        } else {
            format!("All {} steps were undone.", number(count))
        };
        said(english, format!("全部 {} 个步骤均已回滚。", number(count)))
    }

    pub(in super::super) fn cut_off() -> Words {
        both("The run was cut off.", "执行中断。")
    }

    /// `Of 20 steps, 3 failed, 14 done, 3 not tried.`
    pub(in super::super) fn parts(total: usize, parts: &[(usize, Words)]) -> Words {
        let list = |text: fn(&Words) -> &str, separator: &str, glue: &str| {
            let parts = parts.iter().filter(|(count, _)| *count > 0);
            let texts: Vec<_> = parts
                .map(|(count, words)| match glue {
                    "" => format!("{} {}", number(*count), text(words)),
                    glue => format!("{} {} {glue}", text(words), number(*count)),
                })
                .collect();
            texts.join(separator)
        };
        said(
            format!("Of {}: {}.", several(total, "step"), list(|words| &words.english, ", ", "")),
            format!("共 {} 个步骤：{}。", number(total), list(|words| &words.chinese, "，", "个")),
        )
    }
}

/// Sentences that hold numbers.
pub(super) mod sentence {
    use super::{Words, number, said, several};

    pub(in super::super) fn incomplete(count: usize) -> Words {
        said(
            format!(
                "The bundle is incomplete: it was allowed to go without {}.",
                if count == 1 { "1 entry".into() } else { format!("{} entries", number(count)) }
            ),
            format!("离线包不完整：构建时允许缺失 {} 项内容。", number(count)),
        )
    }

    pub(in super::super) fn left_by_hand(count: usize) -> Words {
        let verb = if count == 1 { "is" } else { "are" };
        said(
            format!("{} {verb} left to do by hand.", several(count, "thing")),
            format!("另有 {} 项需人工处理。", number(count)),
        )
    }

    pub(in super::super) fn waiting(count: usize) -> Words {
        said(
            format!("The site is not finished: {} could not be looked at yet.", several(count, "service")),
            format!("站点尚未完成：{} 个服务暂时无法查看。", number(count)),
        )
    }

    pub(in super::super) fn not_passed(count: usize) -> Words {
        said(
            format!("{} did not pass.", several(count, "required check")),
            format!("{} 项必须检查未通过。", number(count)),
        )
    }

    pub(in super::super) fn bundle_file(entries: usize, size: &str) -> Words {
        let noun = if entries == 1 { "entry" } else { "entries" };
        said(
            format!("{} {noun}, one file of {size}", number(entries)),
            format!("共 {} 项，文件大小 {size}", number(entries)),
        )
    }

    pub(in super::super) fn shared(sum: &str, file: &str) -> Words {
        said(
            format!(
                "The sizes add up to {sum}; the bundle's file takes {file}. What several entries share is stored once and counts for each."
            ),
            format!("各项合计 {sum}，离线包文件实际 {file}；多项共用的数据只存一份，但在各项中分别计入。"),
        )
    }

    pub(in super::super) fn others(count: usize) -> Words {
        said(format!("{} more", number(count)), format!("其余 {} 项", number(count)))
    }

    pub(in super::super) fn full_list(count: usize) -> Words {
        said(format!("All {} in full", number(count)), format!("展开全部 {} 项", number(count)))
    }

    pub(in super::super) fn further_steps(count: usize) -> Words {
        said(
            format!("{}, in brief", several(count, "further step")),
            format!("展开其余 {} 个步骤（简表）", number(count)),
        )
    }

    pub(in super::super) fn not_printed(count: usize) -> Words {
        said(
            format!(
                "{} more in a list that was not open when this was printed; report.json holds them all.",
                number(count)
            ),
            format!("另有 {} 项位于打印时未展开的列表中，完整列表见 report.json。", number(count)),
        )
    }

    pub(in super::super) fn left_out(count: usize) -> Words {
        said(
            format!("{} more left out here; report.json holds them all.", number(count)),
            format!("此处省略 {} 项，完整列表见 report.json。", number(count)),
        )
    }

    pub(in super::super) fn lines_left_out(count: usize) -> Words {
        said(
            format!("{} left out here; report.json holds them all.", several(count, "more line")),
            format!("此处省略 {} 行，完整差异见 report.json。", number(count)),
        )
    }

    pub(in super::super) fn diff(added: usize, removed: usize) -> Words {
        said(
            format!("Text: {} added, {} removed", several(added, "line"), number(removed)),
            format!("文本差异：新增 {} 行，删除 {} 行", number(added), number(removed)),
        )
    }

    pub(in super::super) fn failures_above(count: usize) -> Words {
        let (verb, noun) = if count == 1 { ("is", "step") } else { ("are", "steps") };
        said(
            format!("{} {noun} that went wrong {verb} listed above, under \"What failed\".", number(count)),
            format!("另有 {} 个出错的步骤列于上文“失败项”。", number(count)),
        )
    }

    pub(in super::super) fn slowest(shown: usize, all: usize, sum: &str, run: Option<&str>) -> Words {
        let english_run = run.map(|run| format!("; the run took {run}")).unwrap_or_default();
        let chinese_run = run.map(|run| format!("，总耗时 {run}")).unwrap_or_default();
        said(
            format!(
                "The {} slowest of {}. Steps may run side by side; their times add up to {sum}{english_run}.",
                number(shown),
                several(all, "timed step")
            ),
            format!(
                "{} 个有计时的步骤中最慢的 {} 个。步骤可并行执行，各步骤耗时累计 {sum}{chinese_run}。",
                number(all),
                number(shown)
            ),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        for (count, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(number(count), text);
        }
    }

    #[test]
    fn a_sentence_names_only_what_there_is() {
        let words = verdict::parts(20, &[(3, FAILED_COUNT), (17, DONE), (0, NOT_TRIED)]);
        assert_eq!(words.english, "Of 20 steps: 3 failed, 17 done.");
        assert_eq!(words.chinese, "共 20 个步骤：失败 3 个，已完成 17 个。");
    }
}

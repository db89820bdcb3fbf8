//! Limits and times, each with its range.

use super::scope::Scope;
use crate::{
    file,
    model::{self, CompileLimits, Limits, SandboxLimits, Timeouts},
};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// What `section` sets, and `base` for the rest.
pub(super) fn sandbox(
    scope: &Scope<'_>,
    section: Option<&file::Sandbox>,
    base: &SandboxLimits,
) -> SandboxLimits {
    let Some(section) = section else {
        return base.clone();
    };
    let count = |number: &Option<_>, base: usize, most: usize| -> usize {
        let of = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let count = scope.count(number.as_ref(), of(base), 1..=of(most));
        usize::try_from(count).unwrap_or(usize::MAX)
    };
    SandboxLimits {
        hook_time: scope.period(section.hook_time.as_ref(), base.hook_time),
        exchange_time: scope.period(section.exchange_time.as_ref(), base.exchange_time),
        tick_time: scope.period(section.tick_time.as_ref(), base.tick_time),
        memory_bytes: scope.memory(
            section.memory.as_ref(),
            base.memory_bytes,
            64 * KIB..=4 * GIB,
        ),
        table_elements: count(
            &section.table_elements,
            base.table_elements,
            SandboxLimits::TABLE_ELEMENTS_MAX,
        ),
        host_calls: scope.count(
            section.host_calls.as_ref(),
            base.host_calls,
            1..=model::HOST_CALLS_MAX,
        ),
        edits: count(&section.edits, base.edits, model::EDITS_MAX as usize),
        log_lines: scope.count(
            section.log_lines.as_ref(),
            base.log_lines,
            0..=model::LOG_LINES_MAX,
        ),
        remembered_decisions: scope.count(
            section.remembered_decisions.as_ref(),
            base.remembered_decisions,
            0..=model::REMEMBERED_DECISIONS_MAX,
        ),
    }
}

pub(super) fn limits(scope: &Scope<'_>, section: &file::Limits) -> Limits {
    let base = Limits::default();
    let count = |number: &Option<_>, base: usize, most: u32| -> usize {
        let base = u32::try_from(base).unwrap_or(u32::MAX);
        usize::try_from(scope.count(number.as_ref(), base, 1..=most)).unwrap_or(usize::MAX)
    };
    let memory = |size: &Option<_>, base, range| scope.memory(size.as_ref(), base, range);
    Limits {
        connections: count(
            &section.connections,
            base.connections,
            model::CONNECTIONS_MAX,
        ),
        request_header_bytes: memory(
            &section.request_header,
            base.request_header_bytes,
            8 * KIB..=MIB,
        ),
        request_body_bytes: scope.size(
            section.request_body.as_ref(),
            base.request_body_bytes,
            KIB..=64 * GIB,
        ),
        request_bodies_bytes: memory(
            &section.request_bodies,
            base.request_bodies_bytes,
            KIB..=256 * GIB,
        ),
        response_buffer_bytes: memory(
            &section.response_buffer,
            base.response_buffer_bytes,
            KIB..=GIB,
        ),
        event_bytes: memory(&section.event, base.event_bytes, KIB..=256 * MIB),
        json_depth: count(&section.json_depth, base.json_depth, model::JSON_DEPTH_MAX),
        answers_bytes: memory(&section.answers, base.answers_bytes, 64 * KIB..=256 * GIB),
        answer_bytes: memory(&section.answer, base.answer_bytes, KIB..=256 * MIB),
        upgrades: count(&section.upgrades, base.upgrades, model::UPGRADES_MAX),
        mirrors: count(&section.mirrors, base.mirrors, model::MIRRORS_MAX),
        mirror_bytes: memory(&section.mirror_bodies, base.mirror_bytes, KIB..=256 * GIB),
    }
}

pub(super) fn timeouts(scope: &Scope<'_>, section: &file::Timeouts) -> Timeouts {
    let base = Timeouts::default();
    let period = |text: &Option<_>, base| scope.period(text.as_ref(), base);
    let total = period(&section.total, base.total);
    let most = |text| scope.period(Some(text), total);
    let total_max = section.max_total.as_ref().map(most);
    if let Some(text) = section
        .max_total
        .as_ref()
        .filter(|_| total_max < Some(total) && !scope.is_refused(section.total.as_ref()))
    {
        let message = "`max_total` is shorter than `total`";
        scope.refuse_beside(text.place, message, "at least as long");
    }
    Timeouts {
        header: period(&section.header, base.header),
        idle: period(&section.idle, base.idle),
        request_body: period(&section.request_body, base.request_body),
        connect: period(&section.connect, base.connect),
        first_byte: period(&section.first_byte, base.first_byte),
        between_bytes: period(&section.between_bytes, base.between_bytes),
        upgrade_idle: period(&section.upgrade_idle, base.upgrade_idle),
        upgrade_total: period(&section.upgrade_total, base.upgrade_total),
        total,
        total_max,
        shutdown: period(&section.shutdown, base.shutdown),
    }
}

pub(super) fn compile(scope: &Scope<'_>, section: &file::Compile) -> CompileLimits {
    let base = CompileLimits::default();
    let cpu_time = scope.period(section.cpu_time.as_ref(), base.cpu_time);
    if let Some(text) = section
        .cpu_time
        .as_ref()
        .filter(|_| cpu_time.subsec_nanos() != 0)
    {
        scope.refuse(
            text.place,
            "CPU time is counted in whole seconds",
            "a time such as `30s`",
        );
    }
    CompileLimits {
        cpu_time,
        memory_bytes: scope.size(
            section.memory.as_ref(),
            base.memory_bytes,
            64 * MIB..=256 * GIB,
        ),
        input_bytes: scope.size(section.input.as_ref(), base.input_bytes, KIB..=GIB),
    }
}

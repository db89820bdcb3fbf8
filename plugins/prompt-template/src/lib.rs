//! Prompts by name: a request names a template and gives its variables, and the model is
//! sent what the operator wrote.
//!
//! What a request names is read first (`asked`), then its variables, each by its type
//! (`values`); then the template is filled (`prompt`). Values are written as parts of JSON
//! texts into places that were found when the settings were read, and are never looked at
//! again: what a client sends can neither be a placeholder nor end the text it stands in.

mod asked;
mod prompt;
mod refusal;
mod samples;
mod settings;
mod template;
mod templates;
mod text;
mod value;
mod values;
mod variable;

use asked::Asked;
use refusal::Refused;
pub use settings::Settings;
use settings::WithoutTemplate;
use templates::Known;
use tollgate_sdk::{metrics, prelude::*};

/// One exchange.
pub struct PromptTemplate {
    settings: &'static Settings,
    body_bytes: Option<u64>,
}

#[policy(needs(request_json))]
impl Policy for PromptTemplate {
    type Settings = Settings;

    fn check(settings: &Settings) -> Result<(), Vec<String>> {
        settings.check()
    }

    fn samples(settings: &Settings) -> Vec<Sample> {
        samples::of(settings)
    }

    fn open(settings: &'static Settings, head: &Head) -> Self {
        let has_no_body = matches!(head.method.as_str(), "GET" | "HEAD" | "OPTIONS");
        Self {
            settings,
            body_bytes: head.body_bytes().or(has_no_body.then_some(0)),
        }
    }

    fn on_request(&mut self, request: &mut Request) -> Verdict {
        match self.fill(request) {
            Ok(verdict) => verdict,
            Err(refused) => {
                metrics::count("refused", &[("code", refused.code())], 1);
                refused.into_verdict()
            }
        }
    }
}

impl PromptTemplate {
    fn fill(&self, request: &mut Request) -> Result<Verdict, Refused> {
        let Some(asked) = self.asked(request)? else {
            return match self.settings.without_template {
                WithoutTemplate::Pass => Ok(Verdict::next()),
                WithoutTemplate::Refuse => Err(Refused::NotAsked),
            };
        };
        let known = self.settings.templates.find(&asked)?;
        let values = values::of(known, &asked, request)?;
        let prompt = prompt::fill(known, &values, self.settings.bytes_max.get())?;
        self.write(known, prompt, request)?;
        metrics::count("filled", &[("template", known.template.name())], 1);
        Ok(Verdict::next())
    }

    /// What is too long to be read names no template.
    fn asked(&self, request: &Request) -> Result<Option<Asked>, Refused> {
        let bytes_max = self.settings.bytes_max.get();
        let is_too_long = self.body_bytes.is_some_and(|bytes| bytes > bytes_max);
        let asked = match self.body_bytes {
            Some(0) => Asked::by_header(self.settings, request)?,
            _ if is_too_long => Asked::by_header(self.settings, request)?,
            _ => Asked::of(self.settings, request)?,
        };
        match asked {
            Some(_) if is_too_long => Err(Refused::BodyTooLong { bytes_max }),
            Some(_) if self.body_bytes == Some(0) => Err(Refused::NoBody),
            asked => Ok(asked),
        }
    }

    fn write(
        &self,
        known: Known<'_>,
        prompt: String,
        request: &mut Request,
    ) -> Result<(), Refused> {
        let template = known.template;
        template.place(prompt, request)?;
        for (field, value) in template.pinned() {
            request.set_json(field, value);
        }
        for field in template.unset() {
            request.remove_json(field);
        }
        request.remove_json(self.settings.field.pointer());
        if let Some(header) = &self.settings.header {
            request.remove_header(header.as_str());
        }
        request.set_fact("prompt_template", template.label());
        Ok(())
    }
}

//! A message as the host would hold it.

use crate::{Header, Value, bindings::tollgate::policy::types::Edit, is_framing_header, pointer};

#[derive(Debug, Clone, Default)]
pub(crate) struct Source {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) status: u16,
    pub(super) headers: Vec<Header>,
    pub(super) body: Vec<u8>,
    pub(super) facts: Vec<(String, String)>,
}

impl Source {
    pub(crate) fn header(&self, name: &str) -> Option<Vec<u8>> {
        self.headers
            .iter()
            .find(|header| header.name.eq_ignore_ascii_case(name))
            .map(|header| header.value.clone())
    }

    pub(crate) fn headers(&self, names: &[String]) -> Vec<Option<Vec<u8>>> {
        names.iter().map(|name| self.header(name)).collect()
    }

    pub(crate) fn json(&self, pointer: &str) -> Option<Value> {
        self.document()?.pointer(pointer).cloned().map(Value::from)
    }

    pub(crate) fn json_many(&self, pointers: &[String]) -> Vec<Option<Value>> {
        pointers.iter().map(|pointer| self.json(pointer)).collect()
    }

    pub(crate) fn body(&self, offset: u64, bytes_max: u32) -> Vec<u8> {
        let start = usize::try_from(offset)
            .unwrap_or(usize::MAX)
            .min(self.body.len());
        let end = start
            .saturating_add(bytes_max as usize)
            .min(self.body.len());
        self.body[start..end].to_vec()
    }

    pub(crate) fn fact(&self, name: &str) -> Option<String> {
        self.facts
            .iter()
            .rev()
            .find(|(other, _)| other == name)
            .map(|(_, value)| value.clone())
    }

    pub(super) fn document(&self) -> Option<serde_json::Value> {
        serde_json::from_slice(&self.body).ok()
    }

    /// Applies a decision's edits, as the host would.
    pub(super) fn apply(&mut self, edits: &[Edit]) -> Result<(), String> {
        edits.iter().try_for_each(|edit| self.apply_one(edit))
    }

    fn apply_one(&mut self, edit: &Edit) -> Result<(), String> {
        match edit {
            Edit::SetHeader(header) => {
                check_header(header)?;
                self.remove_header(&header.name);
                self.headers.push(header.clone());
            }
            Edit::AppendHeader(header) => {
                check_header(header)?;
                self.headers.push(header.clone());
            }
            Edit::RemoveHeader(name) => self.remove_header(name),
            Edit::SetJson((pointer, value)) => {
                self.edit_json(pointer, |document| {
                    pointer::set(document, pointer, value.to_json())
                })?;
            }
            Edit::RemoveJson(pointer) => {
                self.edit_json(pointer, |document| pointer::remove(document, pointer))?
            }
            Edit::ReplaceBody(body) => self.body.clone_from(body),
            Edit::SetFact((name, value)) => {
                check_fact(name)?;
                self.facts.push((name.clone(), value.clone()));
            }
            Edit::SetMethod(method) => self.method.clone_from(method),
            Edit::SetPath(path) => self.path.clone_from(path),
            Edit::SetStatus(status) => self.status = *status,
        }
        Ok(())
    }

    fn remove_header(&mut self, name: &str) {
        self.headers
            .retain(|header| !header.name.eq_ignore_ascii_case(name));
    }

    fn edit_json(
        &mut self,
        at: &str,
        edit: impl FnOnce(&mut serde_json::Value) -> Result<(), pointer::BadPointer>,
    ) -> Result<(), String> {
        let mut document = self
            .document()
            .ok_or_else(|| format!("`{at}` was edited in a body that is not JSON"))?;
        edit(&mut document).map_err(|error| format!("`{at}`: {error}"))?;
        self.body = document.to_string().into_bytes();
        Ok(())
    }
}

fn check_fact(name: &str) -> Result<(), String> {
    if name == "client_address" || name.starts_with("client_cert_") {
        return Err(format!("the fact `{name}` is written by the host alone"));
    }
    Ok(())
}

fn check_header(header: &Header) -> Result<(), String> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let Header { name, value } = header;
    if name.is_empty() || !name.bytes().all(is_token) {
        return Err(format!("{name:?} is not the name of a header"));
    }
    if is_framing_header(name) {
        return Err(format!("the header `{name}` is written by the host alone"));
    }
    if value.iter().any(|byte| matches!(byte, 0 | b'\r' | b'\n')) {
        return Err(format!(
            "the value of `{name}` has a line break or a NUL in it"
        ));
    }
    Ok(())
}

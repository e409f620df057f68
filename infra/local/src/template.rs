//! A CloudFormation template as a document that code can query.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value, json};

/// The parameters of a stack: names and values as CloudFormation expects them (text, with lists joined by commas).
pub type Parameters = BTreeMap<String, String>;

/// A template read from its YAML. It is deployed unchanged, except for [`Template::package`].
#[derive(Debug, Clone)]
pub struct Template {
    document: Value,
}

/// A resource of a template.
#[derive(Debug, Clone, Copy)]
pub struct Resource<'a> {
    /// Its name within the template.
    pub logical_id: &'a str,
    /// For example `AWS::S3::Bucket`.
    pub kind: &'a str,
    /// Its properties, or null.
    pub properties: &'a Value,
}

impl Template {
    /// Reads a template file.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("cannot read `{}`", path.display()))?;
        Self::parse(&text).with_context(|| format!("cannot understand `{}`", path.display()))
    }

    fn parse(text: &str) -> Result<Self> {
        let document: serde_yaml_ng::Value = serde_yaml_ng::from_str(text)?;
        Ok(Self { document: to_json(document)? })
    }

    /// The whole template as JSON, which CloudFormation accepts like YAML.
    pub fn to_json(&self) -> String {
        self.document.to_string()
    }

    /// Its resources, in no particular order.
    pub fn resources(&self) -> impl Iterator<Item = Resource<'_>> {
        self.document.get("Resources").and_then(Value::as_object).into_iter().flatten().map(|(logical_id, resource)| {
            Resource {
                logical_id,
                kind: resource.get("Type").and_then(Value::as_str).unwrap_or_default(),
                properties: resource.get("Properties").unwrap_or(&Value::Null),
            }
        })
    }

    /// The binary that `sam build` would build for each function: (logical id, binary).
    pub fn function_binaries(&self) -> Result<Vec<(String, String)>> {
        self.resources()
            .filter(|resource| resource.kind == "AWS::Serverless::Function")
            .map(|Resource { logical_id, .. }| {
                let binary = self
                    .document
                    .pointer(&format!("/Resources/{logical_id}/Metadata/BuildProperties/Binary"))
                    .and_then(Value::as_str)
                    .with_context(|| format!("function `{logical_id}` names no binary"))?;
                Ok((logical_id.to_owned(), binary.to_owned()))
            })
            .collect()
    }

    /// Does what `sam build` and `sam package` do: points the code of one function or layer at its uploaded package.
    pub fn package(&mut self, logical_id: &str, bucket: &str, key: &str) -> Result<()> {
        let resource = self
            .document
            .pointer_mut(&format!("/Resources/{logical_id}"))
            .with_context(|| format!("no resource `{logical_id}`"))?;
        let property = match resource.get("Type").and_then(Value::as_str) {
            Some("AWS::Serverless::Function") => "CodeUri",
            Some("AWS::Serverless::LayerVersion") => "ContentUri",
            kind => bail!("resource `{logical_id}` of type `{}` has no code", kind.unwrap_or_default()),
        };
        let properties = resource.get_mut("Properties").and_then(Value::as_object_mut);
        properties
            .with_context(|| format!("resource `{logical_id}` has no properties"))?
            .insert(property.to_owned(), json!({ "Bucket": bucket, "Key": key }));
        Ok(())
    }

    /// A property's value with every `Ref` to a parameter replaced by its `given` value or its default.
    ///
    /// Other functions stay unchanged. This is for plain properties, and does not interpret CloudFormation.
    pub fn resolve(&self, property: &Value, given: &Parameters) -> Value {
        match property {
            Value::Object(object) => match (object.len(), object.get("Ref").and_then(Value::as_str)) {
                (1, Some(name)) => self.parameter(name, given).unwrap_or_else(|| property.clone()),
                _ => object.iter().map(|(key, value)| (key.clone(), self.resolve(value, given))).collect(),
            },
            Value::Array(items) => items.iter().map(|item| self.resolve(item, given)).collect(),
            plain => plain.clone(),
        }
    }

    fn parameter(&self, name: &str, given: &Parameters) -> Option<Value> {
        let default = || self.document.pointer(&format!("/Parameters/{name}/Default")).cloned();
        given.get(name).map(|value| Value::String(value.clone())).or_else(default)
    }
}

/// YAML with CloudFormation's short forms (`!Ref x`, `!GetAtt a.b`, `!Sub …`) to JSON with the long ones.
fn to_json(value: serde_yaml_ng::Value) -> Result<Value> {
    use serde_yaml_ng::Value as Yaml;
    Ok(match value {
        Yaml::Tagged(tagged) => {
            let tag = tagged.tag.to_string();
            let inner = to_json(tagged.value)?;
            match tag.trim_start_matches('!') {
                name @ ("Ref" | "Condition") => json!({ name: inner }),
                "GetAtt" => match inner.as_str().and_then(|path| path.split_once('.')) {
                    Some((resource, attribute)) => json!({ "Fn::GetAtt": [resource, attribute] }),
                    None => json!({ "Fn::GetAtt": inner }),
                },
                name => json!({ format!("Fn::{name}"): inner }),
            }
        }
        Yaml::Mapping(mapping) => {
            let mut object = Map::new();
            for (key, value) in mapping {
                let Yaml::String(key) = key else { bail!("a key that is not text: {key:?}") };
                object.insert(key, to_json(value)?);
            }
            Value::Object(object)
        }
        Yaml::Sequence(items) => Value::Array(items.into_iter().map(to_json).collect::<Result<_>>()?),
        plain => serde_json::to_value(plain)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace;

    #[test]
    fn short_forms_become_long_ones() {
        let template =
            Template::parse("a: !Ref X\nb: !GetAtt Y.Arn.Z\nc: !If [C, !Sub 'x-${Y}', !Ref 'AWS::NoValue']\n");
        assert_eq!(
            template.unwrap().document,
            json!({
                "a": { "Ref": "X" },
                "b": { "Fn::GetAtt": ["Y", "Arn.Z"] },
                "c": { "Fn::If": ["C", { "Fn::Sub": "x-${Y}" }, { "Ref": "AWS::NoValue" }] },
            })
        );
    }

    #[test]
    fn packaging_changes_the_code_location_and_nothing_else() {
        let before = Template::read(&workspace::root().join("template.yaml")).unwrap();
        let mut after = before.clone();
        for (logical_id, _) in before.function_binaries().unwrap() {
            after.package(&logical_id, "b", "k").unwrap();
            let properties = after.document.pointer_mut(&format!("/Resources/{logical_id}/Properties")).unwrap();
            let location = properties.as_object_mut().unwrap().remove("CodeUri");
            assert_eq!(location, Some(json!({ "Bucket": "b", "Key": "k" })));
        }
        assert_eq!(after.document, before.document);
        assert!(after.package("PrimaryBucket", "b", "k").is_err());
    }

    #[test]
    fn a_property_takes_the_given_parameter_before_the_default() {
        let template = Template::parse("Parameters: {Days: {Type: Number, Default: 30}}").unwrap();
        let property = json!({ "Days": { "Ref": "Days" }, "Mode": "GOVERNANCE" });
        let given = Parameters::from([("Days".to_owned(), "7".to_owned())]);
        assert_eq!(template.resolve(&property, &given), json!({ "Days": "7", "Mode": "GOVERNANCE" }));
        assert_eq!(template.resolve(&property, &Parameters::new()), json!({ "Days": 30, "Mode": "GOVERNANCE" }));
    }
}

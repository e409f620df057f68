//! The identity and definition of rare kinds of objects.

use lifeboat_model::ObjectKind;

/// The grants of an explicit ACL, including the owner's. Servers before version 17 lack MAINTAIN.
macro_rules! listed_grants {
    ($acl:literal) => {
        concat!(
            "(SELECT pg_catalog.string_agg(CASE WHEN g.grantee = 0 THEN 'PUBLIC' ELSE pg_catalog.pg_get_userbyid(g.grantee) END
                 || ' ' || g.privilege_type || CASE WHEN g.is_grantable THEN ' grantable' ELSE '' END, ', '
                 ORDER BY CASE WHEN g.grantee = 0 THEN '' ELSE pg_catalog.pg_get_userbyid(g.grantee) END, g.privilege_type COLLATE \"C\")
               FROM pg_catalog.aclexplode(", $acl, ") g WHERE g.privilege_type <> 'MAINTAIN')"
        )
    };
}

/// The object (class, oid) belongs to a user, not to PostgreSQL or to an extension.
macro_rules! of_a_user {
    ($class:literal, $oid:literal) => {
        concat!($oid, " >= 16384 AND ", no_member!($class, $oid))
    };
}

/// The kind, the first major version that has it, and the query of identity and definition. `$1` lists relations to skip.
pub(super) const QUERIES: [(ObjectKind, u32, &str); 20] = [
    (
        ObjectKind::Rule,
        0,
        concat!(
            "SELECT pg_catalog.format('%I on %I.%I', r.rulename, n.nspname, c.relname),
                    pg_catalog.pg_get_ruledef(r.oid) || '; enabled ' || r.ev_enabled::text
             FROM pg_catalog.pg_rewrite r JOIN pg_catalog.pg_class c ON c.oid = r.ev_class
             JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
             WHERE r.rulename <> '_RETURN' AND c.oid <> ALL ($1::oid[]) AND ",
            user_schema!(),
            " AND ",
            no_member!("pg_class", "c.oid")
        ),
    ),
    (
        ObjectKind::EventTrigger,
        0,
        concat!(
            "SELECT pg_catalog.quote_ident(t.evtname), pg_catalog.concat_ws('; ', t.evtevent, t.evtfoid::pg_catalog.regprocedure,
                    'enabled ' || t.evtenabled::text, 'tags ' || pg_catalog.array_to_string(t.evttags, ', '),
                    'owner ' || pg_catalog.pg_get_userbyid(t.evtowner))
             FROM pg_catalog.pg_event_trigger t WHERE $1::oid[] IS NOT NULL AND ",
            of_a_user!("pg_event_trigger", "t.oid")
        ),
    ),
    (
        ObjectKind::Publication,
        0,
        concat!(
            "SELECT pg_catalog.quote_ident(p.pubname), pg_catalog.concat_ws(' ', 'owner', pg_catalog.pg_get_userbyid(p.pubowner),
                    CASE WHEN p.puballtables THEN 'all tables' END, CASE WHEN p.pubinsert THEN 'insert' END,
                    CASE WHEN p.pubupdate THEN 'update' END, CASE WHEN p.pubdelete THEN 'delete' END,
                    CASE WHEN p.pubtruncate THEN 'truncate' END, CASE WHEN p.pubviaroot THEN 'via root' END)
             FROM pg_catalog.pg_publication p WHERE $1::oid[] IS NOT NULL AND ",
            of_a_user!("pg_publication", "p.oid")
        ),
    ),
    (
        // Columns and conditions exist from version 15 on. The rows of older servers lack these fields. Names are compared, not looked up: a
        // lookup may come before the other conditions, and a plain role may not look into `pg_toast`.
        ObjectKind::Publication,
        0,
        "SELECT pg_catalog.format('%I of %s', p.pubname, t.prrelid::pg_catalog.regclass), pg_catalog.concat_ws('; ',
                'columns ' || (SELECT pg_catalog.string_agg(pg_catalog.quote_ident(a.attname), ', ' ORDER BY a.attname)
                   FROM pg_catalog.jsonb_array_elements_text(NULLIF(pg_catalog.to_jsonb(t) -> 'prattrs', 'null')) number
                   JOIN pg_catalog.pg_attribute a ON a.attrelid = t.prrelid AND a.attnum = number::int2),
                'where ' || (SELECT pg_catalog.to_jsonb(s) ->> 'rowfilter' FROM pg_catalog.pg_publication_tables s
                   WHERE s.pubname = p.pubname AND EXISTS (
                       SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
                       WHERE c.oid = t.prrelid AND n.nspname = s.schemaname AND c.relname = s.tablename)))
         FROM pg_catalog.pg_publication_rel t JOIN pg_catalog.pg_publication p ON p.oid = t.prpubid
         WHERE t.prrelid <> ALL ($1::oid[])",
    ),
    (
        ObjectKind::Publication,
        15,
        "SELECT pg_catalog.format('%I of schema %s', p.pubname, s.pnnspid::pg_catalog.regnamespace), ''
         FROM pg_catalog.pg_publication_namespace s JOIN pg_catalog.pg_publication p ON p.oid = s.pnpubid
         WHERE $1::oid[] IS NOT NULL",
    ),
    (
        ObjectKind::Statistics,
        0,
        concat!(
            "SELECT pg_catalog.format('%I.%I', n.nspname, s.stxname), pg_catalog.concat_ws('; ',
                    pg_catalog.pg_get_statisticsobjdef(s.oid), 'target ' || NULLIF(s.stxstattarget, -1)::text,
                    'owner ' || pg_catalog.pg_get_userbyid(s.stxowner))
             FROM pg_catalog.pg_statistic_ext s JOIN pg_catalog.pg_namespace n ON n.oid = s.stxnamespace
             WHERE s.stxrelid <> ALL ($1::oid[]) AND ",
            of_a_user!("pg_statistic_ext", "s.oid")
        ),
    ),
    (
        ObjectKind::Cast,
        0,
        concat!(
            "SELECT pg_catalog.format('%s as %s', pg_catalog.format_type(c.castsource, NULL), pg_catalog.format_type(c.casttarget, NULL)),
                    pg_catalog.concat_ws(' ', c.castcontext, c.castmethod, NULLIF(c.castfunc, 0)::pg_catalog.regprocedure)
             FROM pg_catalog.pg_cast c WHERE $1::oid[] IS NOT NULL AND ",
            of_a_user!("pg_cast", "c.oid")
        ),
    ),
    (
        ObjectKind::DefaultPrivileges,
        0,
        concat!(
            "SELECT pg_catalog.concat_ws(' ', 'of', pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(d.defaclrole)), 'for', d.defaclobjtype,
                    'in ' || NULLIF(d.defaclnamespace, 0)::pg_catalog.regnamespace::text), ",
            listed_grants!("d.defaclacl"),
            " FROM pg_catalog.pg_default_acl d WHERE $1::oid[] IS NOT NULL"
        ),
    ),
    (
        // A user may have written the comment on an extension, but not the comments on its members.
        ObjectKind::Comment,
        0,
        "SELECT o.type || ' ' || o.identity, d.description
         FROM pg_catalog.pg_description d, LATERAL pg_catalog.pg_identify_object(d.classoid, d.objoid, d.objsubid) o
         WHERE (d.objoid >= 16384 OR d.classoid = 'pg_catalog.pg_namespace'::pg_catalog.regclass
                                     AND o.identity NOT IN ('pg_catalog', 'pg_toast', 'information_schema'))
           AND NOT (d.classoid = 'pg_catalog.pg_namespace'::pg_catalog.regclass AND o.identity = 'public'
                    AND d.description = 'standard public schema')
           AND o.identity IS NOT NULL
           AND NOT (d.classoid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objoid = ANY ($1::oid[]))
           AND d.classoid <> 'pg_catalog.pg_largeobject'::pg_catalog.regclass
           AND COALESCE(o.schema, '') !~ '^pg_(toast_)?temp_'
           AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend x WHERE x.classid = d.classoid AND x.objid = d.objoid AND x.deptype = 'e')",
    ),
    (
        ObjectKind::SecurityLabel,
        0,
        "SELECT pg_catalog.format('by %I on %s %s', l.provider, o.type, o.identity), l.label
         FROM pg_catalog.pg_seclabel l, LATERAL pg_catalog.pg_identify_object(l.classoid, l.objoid, l.objsubid) o
         WHERE o.identity IS NOT NULL AND l.objoid >= 16384
           AND NOT (l.classoid = 'pg_catalog.pg_class'::pg_catalog.regclass AND l.objoid = ANY ($1::oid[]))",
    ),
    (
        ObjectKind::Operator,
        0,
        concat!(
            "SELECT o.oid::pg_catalog.regoperator::text, pg_catalog.concat_ws('; ', o.oprcode::pg_catalog.regprocedure,
                    'commutator ' || NULLIF(o.oprcom, 0)::pg_catalog.regoperator::text,
                    'negator ' || NULLIF(o.oprnegate, 0)::pg_catalog.regoperator::text,
                    CASE WHEN o.oprcanhash THEN 'hashes' END, CASE WHEN o.oprcanmerge THEN 'merges' END,
                    NULLIF(o.oprrest::text, '-'), NULLIF(o.oprjoin::text, '-'), 'owner ' || pg_catalog.pg_get_userbyid(o.oprowner))
             FROM pg_catalog.pg_operator o WHERE $1::oid[] IS NOT NULL AND o.oprcode <> 0 AND ",
            of_a_user!("pg_operator", "o.oid")
        ),
    ),
    (
        ObjectKind::Operator,
        0,
        concat!(
            "SELECT pg_catalog.format('class %I.%I using %I', n.nspname, c.opcname, m.amname), pg_catalog.concat_ws('; ',
                    pg_catalog.format_type(c.opcintype, NULL), 'storage ' || pg_catalog.format_type(NULLIF(c.opckeytype, 0), NULL),
                    'family ' || f.opfname, CASE WHEN c.opcdefault THEN 'default' END, 'owner ' || pg_catalog.pg_get_userbyid(c.opcowner))
             FROM pg_catalog.pg_opclass c JOIN pg_catalog.pg_namespace n ON n.oid = c.opcnamespace
             JOIN pg_catalog.pg_am m ON m.oid = c.opcmethod JOIN pg_catalog.pg_opfamily f ON f.oid = c.opcfamily
             WHERE $1::oid[] IS NOT NULL AND ",
            of_a_user!("pg_opclass", "c.oid")
        ),
    ),
    (
        ObjectKind::Operator,
        0,
        concat!(
            "SELECT pg_catalog.format('family %I.%I using %I', n.nspname, f.opfname, m.amname), pg_catalog.concat_ws('; ',
                    (SELECT pg_catalog.string_agg(o.amopstrategy::text || ' ' || o.amopopr::pg_catalog.regoperator::text, ', ' ORDER BY o.amopstrategy, o.amopopr::pg_catalog.regoperator::text)
                     FROM pg_catalog.pg_amop o WHERE o.amopfamily = f.oid),
                    (SELECT pg_catalog.string_agg(p.amprocnum::text || ' ' || p.amproc::pg_catalog.regprocedure::text, ', ' ORDER BY p.amprocnum, p.amproc::pg_catalog.regprocedure::text)
                     FROM pg_catalog.pg_amproc p WHERE p.amprocfamily = f.oid))
             FROM pg_catalog.pg_opfamily f JOIN pg_catalog.pg_namespace n ON n.oid = f.opfnamespace
             JOIN pg_catalog.pg_am m ON m.oid = f.opfmethod WHERE $1::oid[] IS NOT NULL AND ",
            of_a_user!("pg_opfamily", "f.oid")
        ),
    ),
    (
        // The names of the locale fields differ between versions.
        ObjectKind::Collation,
        0,
        concat!(
            "SELECT pg_catalog.format('%I.%I', n.nspname, c.collname), pg_catalog.concat_ws('; ', c.collprovider,
                    COALESCE(j ->> 'colllocale', j ->> 'colliculocale', c.collcollate || ' ' || c.collctype), j ->> 'collicurules',
                    CASE WHEN NOT c.collisdeterministic THEN 'not deterministic' END, 'owner ' || pg_catalog.pg_get_userbyid(c.collowner))
             FROM pg_catalog.pg_collation c JOIN pg_catalog.pg_namespace n ON n.oid = c.collnamespace, LATERAL pg_catalog.to_jsonb(c) j
             WHERE $1::oid[] IS NOT NULL AND ",
            of_a_user!("pg_collation", "c.oid")
        ),
    ),
    (
        ObjectKind::TextSearch,
        0,
        concat!(
            "SELECT pg_catalog.format('configuration %I.%I', n.nspname, c.cfgname), pg_catalog.concat_ws('; ', p.prsname,
                    (SELECT pg_catalog.string_agg(pg_catalog.concat_ws(' ', t.alias, m.mapseqno, m.mapdict::pg_catalog.regdictionary), ', '
                            ORDER BY m.maptokentype, m.mapseqno)
                     FROM pg_catalog.pg_ts_config_map m JOIN pg_catalog.ts_token_type(c.cfgparser) t ON t.tokid = m.maptokentype
                     WHERE m.mapcfg = c.oid), 'owner ' || pg_catalog.pg_get_userbyid(c.cfgowner))
             FROM pg_catalog.pg_ts_config c JOIN pg_catalog.pg_namespace n ON n.oid = c.cfgnamespace
             JOIN pg_catalog.pg_ts_parser p ON p.oid = c.cfgparser WHERE $1::oid[] IS NOT NULL AND ",
            of_a_user!("pg_ts_config", "c.oid")
        ),
    ),
    (
        ObjectKind::TextSearch,
        0,
        concat!(
            "SELECT pg_catalog.format('dictionary %I.%I', n.nspname, d.dictname), pg_catalog.concat_ws('; ', t.tmplname, d.dictinitoption,
                    'owner ' || pg_catalog.pg_get_userbyid(d.dictowner))
             FROM pg_catalog.pg_ts_dict d JOIN pg_catalog.pg_namespace n ON n.oid = d.dictnamespace
             JOIN pg_catalog.pg_ts_template t ON t.oid = d.dicttemplate WHERE $1::oid[] IS NOT NULL AND ",
            of_a_user!("pg_ts_dict", "d.oid")
        ),
    ),
    (
        ObjectKind::ForeignData,
        0,
        concat!(
            "SELECT pg_catalog.format('wrapper %I', w.fdwname), pg_catalog.concat_ws('; ', 'handler ' || NULLIF(w.fdwhandler::oid, 0)::pg_catalog.regproc::text,
                    'validator ' || NULLIF(w.fdwvalidator::oid, 0)::pg_catalog.regproc::text, ", options!("w.fdwoptions"), ",
                    'owner ' || pg_catalog.pg_get_userbyid(w.fdwowner), 'grants ' || ",
            grants!("w.fdwacl", "F", "w.fdwowner"),
            ") FROM pg_catalog.pg_foreign_data_wrapper w WHERE $1::oid[] IS NOT NULL AND ",
            of_a_user!("pg_foreign_data_wrapper", "w.oid")
        ),
    ),
    (
        ObjectKind::ForeignData,
        0,
        concat!(
            "SELECT pg_catalog.format('server %I', s.srvname), pg_catalog.concat_ws('; ', w.fdwname, s.srvtype, s.srvversion,
                    ", options!("s.srvoptions"), ", 'owner ' || pg_catalog.pg_get_userbyid(s.srvowner), 'grants ' || ",
            grants!("s.srvacl", "S", "s.srvowner"),
            ") FROM pg_catalog.pg_foreign_server s JOIN pg_catalog.pg_foreign_data_wrapper w ON w.oid = s.srvfdw
             WHERE $1::oid[] IS NOT NULL AND ",
            of_a_user!("pg_foreign_server", "s.oid")
        ),
    ),
    (
        // The options are left out, because they hold a password that few roles may see.
        ObjectKind::ForeignData,
        0,
        "SELECT pg_catalog.format('user mapping for %I on %I', m.usename, m.srvname), '' FROM pg_catalog.pg_user_mappings m
         WHERE $1::oid[] IS NOT NULL",
    ),
    (
        ObjectKind::Other,
        0,
        concat!(
            "SELECT o.type || ' ' || o.identity, '' FROM (
                 SELECT 'pg_catalog.pg_language'::pg_catalog.regclass AS class, l.oid FROM pg_catalog.pg_language l WHERE ",
            of_a_user!("pg_language", "l.oid"),
            " UNION ALL SELECT 'pg_catalog.pg_conversion'::pg_catalog.regclass, c.oid FROM pg_catalog.pg_conversion c WHERE ",
            of_a_user!("pg_conversion", "c.oid"),
            " UNION ALL SELECT 'pg_catalog.pg_transform'::pg_catalog.regclass, t.oid FROM pg_catalog.pg_transform t WHERE ",
            of_a_user!("pg_transform", "t.oid"),
            " UNION ALL SELECT 'pg_catalog.pg_am'::pg_catalog.regclass, m.oid FROM pg_catalog.pg_am m WHERE ",
            of_a_user!("pg_am", "m.oid"),
            " UNION ALL SELECT 'pg_catalog.pg_ts_parser'::pg_catalog.regclass, p.oid FROM pg_catalog.pg_ts_parser p WHERE ",
            of_a_user!("pg_ts_parser", "p.oid"),
            " UNION ALL SELECT 'pg_catalog.pg_ts_template'::pg_catalog.regclass, t.oid FROM pg_catalog.pg_ts_template t WHERE ",
            of_a_user!("pg_ts_template", "t.oid"),
            ") rare, LATERAL pg_catalog.pg_identify_object(rare.class, rare.oid, 0) o WHERE $1::oid[] IS NOT NULL AND o.identity IS NOT NULL"
        ),
    ),
];

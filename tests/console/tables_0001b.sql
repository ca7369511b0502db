-- The tables of the control database in revision 0001b, as SQLite shows them.
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL,
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
CREATE TABLE audit (
	id VARCHAR(32) NOT NULL,
	at BIGINT NOT NULL,
	who VARCHAR(200) NOT NULL,
	did VARCHAR(60) NOT NULL,
	what VARCHAR(300) NOT NULL,
	detail TEXT,
	CONSTRAINT pk_audit PRIMARY KEY (id)
);
CREATE TABLE channels (
	id VARCHAR(32) NOT NULL,
	name VARCHAR(100) NOT NULL,
	settings TEXT NOT NULL,
	changed_at BIGINT NOT NULL,
	CONSTRAINT pk_channels PRIMARY KEY (id),
	CONSTRAINT uq_channels_name UNIQUE (name)
);
CREATE TABLE connections (
	id VARCHAR(32) NOT NULL,
	name VARCHAR(100) NOT NULL,
	settings TEXT NOT NULL,
	gateway VARCHAR(100),
	workspace VARCHAR(200) NOT NULL,
	metadata TEXT,
	created_at BIGINT NOT NULL,
	changed_at BIGINT NOT NULL,
	CONSTRAINT pk_connections PRIMARY KEY (id),
	CONSTRAINT uq_connections_name UNIQUE (name)
);
CREATE TABLE gateway_codes (
	digest VARCHAR(64) NOT NULL,
	gateway VARCHAR(100) NOT NULL,
	expires_at BIGINT NOT NULL,
	used_at BIGINT,
	CONSTRAINT pk_gateway_codes PRIMARY KEY (digest),
	CONSTRAINT fk_gateway_codes_gateway FOREIGN KEY(gateway) REFERENCES gateways (name)
);
CREATE TABLE gateway_members (
	id VARCHAR(32) NOT NULL,
	gateway VARCHAR(100) NOT NULL,
	machine VARCHAR(200) NOT NULL,
	public_key TEXT NOT NULL,
	version VARCHAR(50) NOT NULL,
	enrolled_at BIGINT NOT NULL,
	seen_at BIGINT,
	revoked_at BIGINT,
	CONSTRAINT pk_gateway_members PRIMARY KEY (id),
	CONSTRAINT fk_gateway_members_gateway FOREIGN KEY(gateway) REFERENCES gateways (name)
);
CREATE TABLE gateway_nonces (
	nonce VARCHAR(64) NOT NULL,
	expires_at BIGINT NOT NULL,
	CONSTRAINT pk_gateway_nonces PRIMARY KEY (nonce)
);
CREATE TABLE gateways (
	name VARCHAR(100) NOT NULL,
	created_at BIGINT NOT NULL,
	CONSTRAINT pk_gateways PRIMARY KEY (name)
);
CREATE TABLE inquiries (
	id VARCHAR(32) NOT NULL,
	gateway VARCHAR(100) NOT NULL,
	about VARCHAR(20) NOT NULL,
	settings TEXT NOT NULL,
	asked_at BIGINT NOT NULL,
	worker VARCHAR(100),
	lease_until BIGINT,
	answered_at BIGINT,
	found TEXT,
	CONSTRAINT pk_inquiries PRIMARY KEY (id)
);
CREATE TABLE invitations (
	digest VARCHAR(64) NOT NULL,
	user_id VARCHAR(32),
	expires_at BIGINT NOT NULL,
	used_at BIGINT,
	CONSTRAINT pk_invitations PRIMARY KEY (digest),
	CONSTRAINT fk_invitations_user_id FOREIGN KEY(user_id) REFERENCES users (id) ON DELETE CASCADE
);
CREATE TABLE login_attempts (
	"key" VARCHAR(64) NOT NULL,
	free_at BIGINT NOT NULL,
	CONSTRAINT pk_login_attempts PRIMARY KEY ("key")
);
CREATE TABLE logins (
	state VARCHAR(64) NOT NULL,
	holder VARCHAR(64) NOT NULL,
	nonce VARCHAR(64) NOT NULL,
	verifier VARCHAR(64) NOT NULL,
	expires_at BIGINT NOT NULL,
	CONSTRAINT pk_logins PRIMARY KEY (state)
);
CREATE TABLE missed (
	id VARCHAR(32) NOT NULL,
	task_id VARCHAR(32) NOT NULL,
	due_at BIGINT NOT NULL,
	count INTEGER NOT NULL,
	reason VARCHAR(200) NOT NULL,
	CONSTRAINT pk_missed PRIMARY KEY (id),
	CONSTRAINT fk_missed_task_id FOREIGN KEY(task_id) REFERENCES tasks (id)
);
CREATE TABLE notices (
	id VARCHAR(32) NOT NULL,
	channel_id VARCHAR(32) NOT NULL,
	run_id VARCHAR(32) NOT NULL,
	event VARCHAR(20) NOT NULL,
	title TEXT NOT NULL,
	body TEXT NOT NULL,
	tries INTEGER NOT NULL,
	not_before BIGINT NOT NULL,
	sent_at BIGINT,
	error TEXT,
	CONSTRAINT pk_notices PRIMARY KEY (id),
	CONSTRAINT fk_notices_channel_id FOREIGN KEY(channel_id) REFERENCES channels (id),
	CONSTRAINT fk_notices_run_id FOREIGN KEY(run_id) REFERENCES runs (id) ON DELETE CASCADE,
	CONSTRAINT uq_notices_channel_id_run_id_event UNIQUE (channel_id, run_id, event)
);
CREATE TABLE run_lines (
	run_id VARCHAR(32) NOT NULL,
	number INTEGER NOT NULL,
	at BIGINT NOT NULL,
	level VARCHAR(10) NOT NULL,
	text TEXT NOT NULL,
	CONSTRAINT pk_run_lines PRIMARY KEY (run_id, number),
	CONSTRAINT fk_run_lines_run_id FOREIGN KEY(run_id) REFERENCES runs (id) ON DELETE CASCADE
);
CREATE TABLE runs (
	id VARCHAR(32) NOT NULL,
	task_id VARCHAR(32) NOT NULL,
	workspace VARCHAR(200) NOT NULL,
	gateway VARCHAR(100),
	cause VARCHAR(20) NOT NULL,
	action TEXT NOT NULL,
	status VARCHAR(20) NOT NULL,
	attempt INTEGER NOT NULL,
	claims INTEGER NOT NULL,
	merged INTEGER NOT NULL,
	asked_by VARCHAR(100),
	due_at BIGINT NOT NULL,
	not_before BIGINT NOT NULL,
	started_at BIGINT,
	ended_at BIGINT,
	worker VARCHAR(100),
	lease_until BIGINT,
	cancelling BOOLEAN NOT NULL,
	progress TEXT,
	report TEXT,
	error TEXT,
	rows BIGINT,
	requests BIGINT,
	budget_used INTEGER,
	CONSTRAINT pk_runs PRIMARY KEY (id),
	CONSTRAINT fk_runs_task_id FOREIGN KEY(task_id) REFERENCES tasks (id)
);
CREATE TABLE secrets (
	name VARCHAR(200) NOT NULL,
	ciphertext TEXT NOT NULL,
	changed_at BIGINT NOT NULL,
	CONSTRAINT pk_secrets PRIMARY KEY (name)
);
CREATE TABLE sessions (
	digest VARCHAR(64) NOT NULL,
	user_id VARCHAR(32) NOT NULL,
	csrf VARCHAR(64) NOT NULL,
	created_at BIGINT NOT NULL,
	seen_at BIGINT NOT NULL,
	expires_at BIGINT NOT NULL,
	CONSTRAINT pk_sessions PRIMARY KEY (digest),
	CONSTRAINT fk_sessions_user_id FOREIGN KEY(user_id) REFERENCES users (id) ON DELETE CASCADE
);
CREATE TABLE tasks (
	id VARCHAR(32) NOT NULL,
	name VARCHAR(100) NOT NULL,
	connection_id VARCHAR(32) NOT NULL,
	settings TEXT NOT NULL,
	paused BOOLEAN NOT NULL,
	next_at BIGINT,
	after_task VARCHAR(100),
	created_at BIGINT NOT NULL,
	changed_at BIGINT NOT NULL,
	CONSTRAINT pk_tasks PRIMARY KEY (id),
	CONSTRAINT fk_tasks_connection_id FOREIGN KEY(connection_id) REFERENCES connections (id),
	CONSTRAINT uq_tasks_name UNIQUE (name)
);
CREATE TABLE tokens (
	id VARCHAR(32) NOT NULL,
	name VARCHAR(100) NOT NULL,
	digest VARCHAR(64) NOT NULL,
	user_id VARCHAR(32) NOT NULL,
	role VARCHAR(20) NOT NULL,
	created_at BIGINT NOT NULL,
	expires_at BIGINT,
	seen_at BIGINT,
	revoked_at BIGINT,
	CONSTRAINT pk_tokens PRIMARY KEY (id),
	CONSTRAINT fk_tokens_user_id FOREIGN KEY(user_id) REFERENCES users (id) ON DELETE CASCADE,
	CONSTRAINT uq_tokens_digest UNIQUE (digest)
);
CREATE TABLE users (
	id VARCHAR(32) NOT NULL,
	name VARCHAR(200) NOT NULL,
	password TEXT,
	subject VARCHAR(300),
	role VARCHAR(20) NOT NULL,
	zone VARCHAR(60) NOT NULL,
	disabled BOOLEAN NOT NULL,
	created_at BIGINT NOT NULL,
	seen_at BIGINT,
	CONSTRAINT pk_users PRIMARY KEY (id),
	CONSTRAINT uq_users_name UNIQUE (name),
	CONSTRAINT uq_users_subject UNIQUE (subject)
);
CREATE INDEX ix_audit_at ON audit (at);
CREATE INDEX ix_inquiries_gateway ON inquiries (gateway, answered_at);
CREATE INDEX ix_login_attempts_free_at ON login_attempts (free_at);
CREATE INDEX ix_logins_expires_at ON logins (expires_at);
CREATE INDEX ix_runs_due ON runs (due_at);
CREATE INDEX ix_runs_ended ON runs (ended_at);
CREATE UNIQUE INDEX ix_runs_one_per_workspace ON runs (workspace) WHERE status = 'running';
CREATE UNIQUE INDEX ix_runs_one_queued ON runs (task_id, action) WHERE status = 'queued' AND claims = 0;
CREATE UNIQUE INDEX ix_runs_one_running ON runs (task_id) WHERE status = 'running';
CREATE INDEX ix_runs_status ON runs (status, not_before, due_at, id);
CREATE INDEX ix_runs_task_due ON runs (task_id, due_at);
CREATE INDEX ix_runs_task_ended ON runs (task_id, status, ended_at);
INSERT INTO alembic_version VALUES ('0001b');

<?php
// Between phpBorg and Adminer, in front of every request. It decides who is served, and which server, account and
// password Adminer uses: those that are written in this directory, whatever an address, a form or a cookie says.

function phpborg_refuse($code, $text)
{
    http_response_code($code);
    header('Content-Type: text/plain; charset=utf-8');
    header('Cache-Control: no-store');
    echo $text, "\n";
    exit;
}

function phpborg_read($name)
{
    return rtrim((string) file_get_contents(__DIR__ . "/$name"), "\n");
}

// {"driver", "server", "user", "program"}; not a global variable, which Adminer could overwrite.
function phpborg_settings()
{
    static $settings;
    return $settings ?? ($settings = json_decode(phpborg_read('settings.json'), true));
}

function phpborg_check()
{
    // Any account of the machine can connect to the port. Only phpBorg's page has the key.
    $key = phpborg_read('key');
    $given = $_SERVER['HTTP_X_PHPBORG_KEY'] ?? '';
    if (strlen($key) < 32 || !hash_equals($key, $given)) {
        phpborg_refuse(403, 'Only phpBorg may ask here.');
    }
    unset($_SERVER['HTTP_X_PHPBORG_KEY'], $_SERVER['HTTP_X_FORWARDED_PREFIX']);
    if (parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH) !== '/') {
        phpborg_refuse(404, 'There is only one page.');
    }
    $settings = phpborg_settings();
    $drivers = ['server', 'pgsql', 'sqlite', 'sqlite2', 'oracle', 'mssql', 'mongo', 'elastic', 'elastic5', 'clickhouse',
        'simpledb', 'firebird', 'imap', 'igdb'];
    foreach ($drivers as $name) {
        if (isset($_GET[$name]) && ($name !== $settings['driver'] || $_GET[$name] !== '')) {
            phpborg_refuse(400, 'The server of a session is not chosen by an address.');
        }
    }
    if (isset($_POST['auth']) || ($_GET['username'] ?? $settings['user']) !== $settings['user']) {
        phpborg_refuse(400, 'phpBorg signs in, with the account of the session.');
    }
    if (($_GET['script'] ?? '') === 'version') {
        phpborg_refuse(404, 'Versions are not asked for.');
    }
    $_COOKIE['adminer_version'] = '0'; // known: so the internet is not asked
    unset($_COOKIE['adminer_permanent'], $_GET['adminer_sid']);
    $_GET[$settings['driver']] = '';
    $_GET['username'] = $settings['user'];
}

// Adminer calls this once its own class is there and its session has begun.
function adminer_object()
{
    $settings = phpborg_settings();
    $_SESSION['pwds'][$settings['driver']][''][$settings['user']] = 'not the password, which credentials() knows';
    class_alias(class_exists('Adminer\Adminer', false) ? 'Adminer\Adminer' : 'Adminer', 'PhpBorgAdminerBase');
    return new class extends PhpBorgAdminerBase {
        function credentials()
        {
            $settings = phpborg_settings();
            return [$settings['server'], $settings['user'], phpborg_read('password')];
        }

        function login($login, $password)
        {
            return true;
        }

        function permanentLogin($create = false)
        {
            return '';
        }

        function loginForm()
        {
        }
    };
}

phpborg_check();
include phpborg_settings()['program'];
